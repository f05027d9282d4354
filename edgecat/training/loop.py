"""The training loop: one run from pictures to a checkpoint, read from top to bottom."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from edgecat.data.batches import Batch, served_batches
from edgecat.data.folder import PictureSet
from edgecat.models.auxiliary import training_loss
from edgecat.models.backend import TorchBackend
from edgecat.models.checkpoint import load_checkpoint, save_checkpoint
from edgecat.models.devices import selected
from edgecat.models.frames import input_from_frames
from edgecat.scores import Evaluation, evaluate
from edgecat.training import plots
from edgecat.training.assembly import prepare
from edgecat.training.config import TrainConfig
from edgecat.training.device_augment import on_device
from edgecat.training.distributed import ALONE, filled, joined
from edgecat.training.history import Epoch, append_metrics
from edgecat.training.interruption import Interrupted, signals_wait
from edgecat.training.job import Job
from edgecat.training.loader import Waited
from edgecat.training.mixing import draw_mix, erased
from edgecat.training.optim import autocast, set_learning_rate
from edgecat.training.run_folder import CONFUSION, CURVES, METRICS, STATE, TrainResult
from edgecat.training.watcher import Watcher
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.preprocess import preprocess

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
        Interrupted: Ctrl-C or SIGTERM; the state is saved. A second one raises KeyboardInterrupt
            at once.
    """
    with joined(config.device) as world:
        told = watcher if watcher and world.leader else Watcher()
        job = prepare(config, resume=resume, watcher=told, world=world)
        with selected(job.device):
            return _trained(job)


def _trained(job: Job) -> TrainResult:
    config, state, loader, model, world = job.config, job.state, job.loader, job.model, job.world
    with signals_wait(patient=world.size > 1) as signalled:
        while not job.over:
            job.watcher.epoch_started(state.epoch + 1, loader.steps, state.step)
            totals = torch.tensor(state.totals, device=job.device) * world.leader
            started = time.perf_counter() - state.seconds
            model.train()
            job.hold()
            loader = replace(loader, size=config.size_at(state.epoch))
            entered, batches = time.perf_counter(), Waited(loader.batches(state.epoch, state.step))
            for batch in batches:
                job.note(batch.skipped)
                totals += step(job, batch)
                state.step += 1
                job.watcher.stepped(len(batch.labels), partial(_mean, totals))
                if world.any(bool(signalled())):
                    state.totals = world.summed(totals).tolist()
                    state.seconds = time.perf_counter() - started
                    world.led(job.save)
                    raise Interrupted(job.folder, signalled())
                if state.step % _CHECK_EVERY == 0:
                    _check(world.summed(totals), job)
            totals = world.summed(totals)
            for skipped in world.gathered(tuple(state.skipped)):
                job.note(skipped)
            _check(totals, job)
            trained = time.perf_counter() - started
            waited = batches.seconds / (time.perf_counter() - entered)
            evaluation = _validated(job, job.served)
            job.note(evaluation.skipped)
            row = _row(job, totals, evaluation, trained, time.perf_counter() - started)
            _end_epoch(job, replace(row, data_wait=waited), evaluation)
            if world.any(bool(signalled())) and not job.over:
                raise Interrupted(job.folder, signalled())
    return world.led(partial(_finished, replace(job, world=ALONE)))


def _end_epoch(job: Job, row: Epoch, evaluation: Evaluation) -> None:
    """Write what an epoch gave, and tell of it."""
    best = job.state.next_epoch(row)
    if best and job.world.leader:
        card = replace(job.card, accuracy=evaluation.accuracy, accuracy_n=evaluation.n)
        save_checkpoint(job.checkpoint, job.served, card)
    job.save()
    if job.world.leader:
        append_metrics(job.folder / METRICS, row)
    job.watcher.epoch_finished(row, best=best)


def step(job: Job, batch: Batch) -> Tensor:
    """Learn from a batch, or this process's part of it; the last of a group updates the weights.

    Returns:
        float32 (3,) on the job's device: summed loss, right answers and pictures.
    """
    totals = torch.zeros(3, device=job.device)
    if len(batch.labels) > 1 or job.world.size > 1:  # batch norm needs two
        totals += _backward(job, batch)
    done = job.state.step + 1
    if done % job.group == 0 or done == job.loader.steps:
        _update(job)
    return totals


def _backward(job: Job, batch: Batch) -> Tensor:
    """Add a batch's gradient to its group's; returns as `step`."""
    config, state = job.config, job.state
    pictures = len(batch.labels)
    weight = job.world.weight(pictures)
    batch = batch if job.world.size == 1 else filled(batch, job.loader.size)
    frames, labels = on_device(batch, job.device)
    random = np.random.default_rng((config.seed, state.epoch, state.step, *job.world.part))
    if config.erase:
        frames = erased(frames, config.erase, random)
    mix = draw_mix(*frames.shape[:2], mixup=config.mixup, cutmix=config.cutmix, random=random)
    frames = mix.frames(frames) if mix else frames
    job.world.apart(config.seed, state.epoch, state.step)
    with autocast(config.precision, job.device):
        output = job.forward(input_from_frames(frames, job.card))
        entropy = partial(cross_entropy, label_smoothing=config.label_smoothing)
        of_labels = partial(mix.loss, entropy) if mix else entropy
        loss, logits = training_loss(output, lambda logits: of_labels(logits, labels))
        if job.teacher:
            loss = job.teacher.loss(loss, logits, frames)
    in_group = min(job.group, job.loader.steps - state.step // job.group * job.group)
    job.scaler.scale(loss * weight / in_group).backward()  # type: ignore[no-untyped-call]
    shown = mix.labels(labels) if mix else labels
    right = (logits.detach().argmax(1) == shown).float().mean()
    return torch.stack([loss.detach(), right, torch.ones_like(right)]) * pictures


def _update(job: Job) -> None:
    """Step along the gradient of the group, unless none of its pictures could be decoded."""
    if all(parameter.grad is None for parameter in job.model.parameters()):
        return
    set_learning_rate(job.optimizer, job.rate(job.update))
    if job.config.clip is not None:
        job.scaler.unscale_(job.optimizer)
        nn.utils.clip_grad_norm_(job.model.parameters(), job.config.clip)
    job.scaler.step(job.optimizer)
    job.scaler.update()
    job.optimizer.zero_grad(set_to_none=True)
    if job.average:
        job.average.update(job.model, job.update)


def _validated(job: Job, model: nn.Module) -> Evaluation:
    """Evaluate on the validation pictures, prepared and normalised as a device will."""
    card = job.card

    def evaluated(pictures: PictureSet) -> Evaluation:
        batches = served_batches(
            pictures,
            partial(preprocess, height=card.height, width=card.width, fit=card.fit),
            batch_size=max(64, job.config.batch_size),
            workers=job.loader.workers,
        )
        return evaluate(TorchBackend(model, card).infer, batches, card.labels)

    return job.world.evaluated(job.validation, evaluated, model)


def _finished(job: Job) -> TrainResult:
    """Evaluate the best checkpoint from its file, draw the plots, drop the state."""
    state, folder = job.state, job.folder
    if state.best is None:
        raise UserError(f"{folder} has no finished epoch. Start a new run")
    evaluation = _validated(job, load_checkpoint(job.checkpoint)[0])
    plots.draw_curves(state.history, folder / CURVES)
    plots.draw_confusion(evaluation, folder / CONFUSION)
    (folder / STATE).unlink(missing_ok=True)
    skipped = (*job.validation.skipped, *state.skipped)
    return TrainResult(
        folder, job.checkpoint, state.best, tuple(state.history), evaluation, skipped
    )


def _row(job: Job, totals: Tensor, evaluation: Evaluation, trained: float, all_: float) -> Epoch:
    loss, right, n = totals.tolist()
    return Epoch(
        epoch=job.state.epoch + 1,
        lr=job.optimizer.param_groups[0]["lr"],
        train_loss=loss / n,
        train_accuracy=right / n,
        val_loss=evaluation.loss,
        val_accuracy=evaluation.accuracy,
        seconds=all_,
        images_per_second=n / trained,
    )


def _check(totals: Tensor, job: Job) -> None:
    """Stop where nothing is left to learn from, or nothing is learnt any more."""
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
