"""The training loop: one run from pictures to a checkpoint, read from top to bottom."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from edgecat.checkpoint import load_checkpoint, save_checkpoint
from edgecat.data.folder import PictureSet, scan, split
from edgecat.models import architecture, build_model
from edgecat.models.frames import input_from_frames
from edgecat.torch_backend import TorchBackend
from edgecat.training import plots, run
from edgecat.training.augment import Augmentation
from edgecat.training.config import TrainConfig
from edgecat.training.loader import Batch, Loader, available_cores, served_batches
from edgecat.training.metrics import Epoch, Evaluation, append_metrics, evaluate, write_metrics
from edgecat.training.optim import (
    autocast,
    choose_device,
    choose_precision,
    learning_rate,
    make_optimizer,
    set_learning_rate,
)
from edgecat.training.run import TrainResult, Watcher
from edgecat.training.state import RunState, load_state, save_state
from edgecat_runtime.atomic import atomic_write
from edgecat_runtime.card import ModelCard
from edgecat_runtime.errors import UserError
from edgecat_runtime.preprocess import preprocess

_CHECK_EVERY = 50


def train(
    config: TrainConfig, *, resume: Path | None = None, watcher: Watcher | None = None
) -> TrainResult:
    """Train a model; its folder gets the checkpoint, `metrics.csv`, plots and `config.json`.

    Args:
        config: what to train, and on what; for an interrupted run, `read_config(resume)`.
        resume: the folder of an interrupted run to go on with. On the same processor, with the
            same number of threads, its weights come out as if never interrupted, bit for bit.
        watcher: told of the progress.

    Raises:
        UserError: the pictures, the options or the folder cannot be used, the disk is full, or the
            loss is no number any more.
        DeviceError: the device is not there.
        Interrupted: Ctrl-C; the state is saved. A second Ctrl-C raises KeyboardInterrupt at once.
    """
    watcher = watcher or Watcher()
    job = _prepared(config, resume, watcher)
    config, state, loader, device = job.config, job.state, job.loader, job.device
    with run.ctrl_c_waits() as ctrl_c:
        while state.epoch < config.epochs and not _stale(config, state):
            watcher.epoch_started(state.epoch + 1, loader.steps, state.step)
            totals = torch.tensor(state.totals, device=device)
            started = time.perf_counter() - state.seconds
            job.model.train()
            for batch in loader.batches(state.epoch, state.step):
                job.note(batch.skipped, watcher)
                if len(batch.labels) > 1:
                    totals += _step(job, batch)
                state.step += 1
                watcher.stepped(len(batch.labels), partial(_mean, totals))
                if ctrl_c():
                    state.totals, state.seconds = totals.tolist(), time.perf_counter() - started
                    job.save()
                    raise run.Interrupted(job.folder)
                if state.step % _CHECK_EVERY == 0:
                    _check_finite(totals, job)
            _check_finite(totals, job)
            trained = time.perf_counter() - started
            evaluation = _validate(TorchBackend(job.model, job.card), job)
            job.note(evaluation.skipped, watcher)
            row = _row(job, totals, evaluation, trained, time.perf_counter() - started)
            best = state.next_epoch(row)
            if best:
                save_checkpoint(job.checkpoint, job.model, _measured(job.card, evaluation))
            job.save()
            append_metrics(job.folder / run.METRICS, row)
            watcher.epoch_finished(row, best=best)
            if ctrl_c() and state.epoch < config.epochs:
                raise run.Interrupted(job.folder)
    return _finished(job)


@dataclass
class _Job:
    """Everything that one run works with."""

    config: TrainConfig
    folder: Path
    device: torch.device
    card: ModelCard
    model: nn.Module
    optimizer: Optimizer
    scaler: GradScaler
    loader: Loader
    validation: PictureSet
    state: RunState

    @property
    def checkpoint(self) -> Path:
        return self.folder / f"{self.config.arch}.safetensors"

    def save(self) -> None:
        save_state(self.folder / run.STATE, self.state, self.model, self.optimizer, self.scaler)

    def note(self, skipped: tuple[str, ...], watcher: Watcher) -> None:
        for sentence in skipped:
            if sentence not in self.state.skipped:
                self.state.skipped.append(sentence)
                watcher.skipped(sentence)


def _prepared(config: TrainConfig, resume: Path | None, watcher: Watcher) -> _Job:
    """Split the pictures, build the model, and make the folder or take up where it stands."""
    device = choose_device(config.device)
    config = replace(
        config,
        data=tuple(str(Path(path).absolute()) for path in config.data),
        threads=config.threads or available_cores(),
        precision=choose_precision(config.precision, device),
    )
    torch.set_num_threads(config.threads or 1)
    torch.manual_seed(config.seed)
    training, validation = split(scan(config.data), val=config.val, seed=config.seed)
    card = card_of(config, training.labels)
    model = build_model(card).to(device)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(
        model, config.optimizer, lr=config.peak_rate, weight_decay=config.weight_decay
    )
    scaler = GradScaler(device.type, enabled=config.precision == "fp16")
    loader = Loader(
        training,
        config.size,
        config.batch_size,
        config.seed,
        how=Augmentation() if config.augment else None,
        fit=config.fit,
        workers=available_cores(),
    )
    folder = run.new_folder(config) if resume is None else resume
    state = RunState(run.digest_of(training, validation))
    job = _Job(config, folder, device, card, model, optimizer, scaler, loader, validation, state)
    _take_up(job) if resume else atomic_write(folder / run.CONFIG, config.to_json())
    job.save()
    write_metrics(folder / run.METRICS, job.state.history)
    watcher.started(folder, training, validation)
    return job


def _take_up(job: _Job) -> None:
    """Load the state of an interrupted run, if it got so far as to write one."""
    path = job.folder / run.STATE
    if (job.folder / run.CONFUSION).exists() and not path.exists():
        raise UserError(f"{job.folder} is finished: there is nothing to resume. Start a new run")
    if path.exists():
        state = load_state(path, job.model, job.optimizer, job.scaler)
        if state.pictures != job.state.pictures:
            raise UserError(
                f"the pictures are not those that {job.folder} was started with; expected the same "
                "files. Put them back, or start a new run"
            )
        job.state = state


def card_of(config: TrainConfig, labels: tuple[str, ...]) -> ModelCard:
    """Describe the model that a configuration asks for.

    Raises:
        UserError: an unknown architecture, or an input too small for it.
    """
    known = architecture(config.arch)
    if config.size < known.smallest:
        raise UserError(
            f"--size is {config.size}; {config.arch} needs at least {known.smallest} pixels"
        )
    return ModelCard(
        architecture=config.arch,
        labels=labels,
        height=config.size,
        width=config.size,
        layers=known.widths(head=config.head, factor=config.width),
        head=config.head,
        batch_norm=config.batch_norm,
        dropout=config.head_dropout,
        fit=config.fit,
    )


def _step(job: _Job, batch: Batch) -> Tensor:
    """Take one step; returns summed loss, right answers and pictures."""
    config, steps = job.config, job.loader.steps
    number = job.state.epoch * steps + job.state.step
    rate = learning_rate(number, config.epochs * steps, peak=config.peak_rate, warmup=config.warmup)
    set_learning_rate(job.optimizer, rate)
    frames = torch.from_numpy(batch.frames).to(job.device, non_blocking=True)
    labels = torch.from_numpy(batch.labels).to(job.device, non_blocking=True)
    with autocast(config.precision, job.device):
        logits = job.model(input_from_frames(frames, job.card)).float()
        loss = cross_entropy(logits, labels, label_smoothing=config.label_smoothing)
    job.optimizer.zero_grad(set_to_none=True)
    job.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    job.scaler.step(job.optimizer)
    job.scaler.update()
    n = len(labels)
    right = (logits.detach().argmax(1) == labels).sum()
    return torch.stack([loss.detach() * n, right.float(), torch.tensor(n, device=job.device)])


def _validate(backend: TorchBackend, job: _Job) -> Evaluation:
    """Evaluate on the validation pictures, prepared as a device will."""
    card = job.card
    prepare = partial(preprocess, height=card.height, width=card.width, fit=card.fit)
    batches = served_batches(
        job.validation,
        prepare,
        batch_size=max(64, job.config.batch_size),
        workers=job.loader.workers,
    )
    return evaluate(backend.infer, batches, card.labels)


def _finished(job: _Job) -> TrainResult:
    """Evaluate the best checkpoint as a device will see it, draw the plots, drop the state."""
    state, folder = job.state, job.folder
    if state.best is None:
        raise UserError(f"{folder} has no finished epoch")
    model, card = load_checkpoint(job.checkpoint)
    evaluation = _validate(TorchBackend(model, card), job)
    plots.draw_curves(state.history, folder / run.CURVES)
    plots.draw_confusion(evaluation, folder / run.CONFUSION)
    (folder / run.STATE).unlink(missing_ok=True)
    return TrainResult(
        folder, job.checkpoint, state.best, tuple(state.history), evaluation, tuple(state.skipped)
    )


def _row(
    job: _Job, totals: Tensor, evaluation: Evaluation, trained: float, seconds: float
) -> Epoch:
    loss, right, n = totals.tolist()
    return Epoch(
        epoch=job.state.epoch + 1,
        lr=job.optimizer.param_groups[0]["lr"],
        train_loss=loss / n,
        train_accuracy=right / n,
        val_loss=evaluation.loss,
        val_accuracy=evaluation.accuracy,
        seconds=seconds,
        images_per_second=n / trained,
    )


def _check_finite(totals: Tensor, job: _Job) -> None:
    loss, _, n = totals.tolist()
    if not n:
        first = job.state.skipped[0] if job.state.skipped else "there are too few"
        raise UserError(f"no training pictures are left: {first}")
    if not math.isfinite(loss):
        raise UserError(
            f"the loss is {loss} in epoch {job.state.epoch + 1}: the training diverged. "
            f"Start anew with a lower --lr than {job.config.peak_rate:g}"
        )


def _mean(totals: Tensor) -> float:
    loss, _, n = totals.tolist()
    return float(loss / max(n, 1))


def _measured(card: ModelCard, evaluation: Evaluation) -> ModelCard:
    return replace(card, accuracy=evaluation.accuracy, accuracy_n=evaluation.n)


def _stale(config: TrainConfig, state: RunState) -> bool:
    return config.patience is not None and state.stale_for() >= config.patience
