"""The training loop: from the first batch to the evaluated checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from edgecat.data.batches import Batch, served_batches
from edgecat.data.folder import ImageSet
from edgecat.models.auxiliary import training_loss
from edgecat.models.backend import TorchBackend
from edgecat.models.frames import input_from_frames
from edgecat.scores import Evaluation, evaluate
from edgecat.training.device_augment import on_device
from edgecat.training.distributed import ALONE, World
from edgecat.training.history import Epoch
from edgecat.training.interruption import Interrupted, signals_wait
from edgecat.training.learner import Learner
from edgecat.training.loader import Waited
from edgecat.training.mixing import draw_mix, erased
from edgecat.training.optim import autocast
from edgecat.training.run_folder import RunFolder, TrainResult
from edgecat.training.state import RunState
from edgecat.training.training_run import TrainingRun
from edgecat.training.transfer import frozen_stages
from edgecat.training.watcher import Watcher
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.preprocess import preprocess

_CHECK_EVERY = 50

Signal = Callable[[], int]


@dataclass(frozen=True)
class Trained:
    """The training half of an epoch.

    Attributes:
        totals: summed loss, correct predictions and images, of all processes.
        started: when the epoch began, by `time.perf_counter`; time before a resume included.
        seconds: spent on training.
        data_wait: fraction of the loop's time spent waiting for images, 0..1.
    """

    totals: Tensor
    started: float
    seconds: float
    data_wait: float


@dataclass
class Trainer:
    """Trains a model, epoch by epoch.

    Attributes:
        run: configuration and data.
        learner: model and optimiser.
        state: progress so far.
        watcher: receives the progress.
        folder: where the run is written.
        world: the processes that train together.

    With a cache, the prepared validation images are kept too.
    """

    run: TrainingRun
    learner: Learner
    state: RunState
    watcher: Watcher = field(default_factory=Watcher)
    folder: RunFolder = field(default_factory=RunFolder)
    world: World = ALONE
    _kept: dict[int, list[Batch]] = field(default_factory=dict, init=False)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or `patience` ran out."""
        state, config = self.state, self.run.config
        stale = config.patience is not None and state.stale_for() >= config.patience
        return stale or state.epoch >= config.epochs

    def fit(self) -> TrainResult:
        """Train until finished, then evaluate the best checkpoint.

        Raises:
            UserError: nothing to train on, the loss diverged, or a file cannot be written.
            Interrupted: Ctrl-C or SIGTERM; the state is saved.
        """
        patient = self.world.size > 1
        with signals_wait(patient=patient, tell=self.watcher.on_message) as signal:
            while not self.finished:
                trained = self._train_epoch(signal)
                self._end_epoch(trained, self._validated())
                if self.world.any(bool(signal())) and not self.finished:
                    raise Interrupted(self.folder.path, signal())
        return self.world.broadcast(self._result)

    def step(self, batch: Batch) -> Tensor:
        """Learn from a batch, or this process's part of it; the last of a group updates weights.

        Returns:
            float32 (3,) on the model's device: summed loss, correct predictions and images.
        """
        run, state = self.run, self.state
        totals = torch.zeros(3, device=self.learner.device)
        last = run.closes_group(state.step)
        if len(batch.labels) > 1 or self.world.size > 1:  # batch norm needs two
            with self.learner.shared.accumulating(not last):
                totals += self._backward(batch)
        if last:
            update = run.update_at(state.epoch, state.step)
            self.learner.update(run.rate(update), clip=run.config.clip, number=update)
        return totals

    def freeze_for_epoch(self) -> None:
        """Freeze what the configuration freezes in this epoch; the model is in training mode."""
        config = self.run.config
        frozen = config.frozen_at(self.state.epoch)
        self.learner.freeze(frozen_stages(self.learner.model, frozen, config.arch))

    def save(self) -> None:
        """Write the state, so that the run can be resumed; raises as `save_state`."""
        self.folder.save_state(self.state, self.learner)

    def _train_epoch(self, signal: Signal) -> Trained:
        run, state, world = self.run, self.state, self.world
        self.watcher.epoch_started(state.epoch + 1, run.steps, state.step)
        totals = torch.tensor(state.totals, device=self.learner.device) * world.leader
        started = time.perf_counter() - state.seconds
        self.learner.model.train()
        self.freeze_for_epoch()
        loader = replace(run.loader, size=run.config.size_at(state.epoch))
        entered, batches = time.perf_counter(), Waited(loader.batches(state.epoch, state.step))
        for batch in batches:
            self._note_skipped(batch.skipped)
            totals += self.step(batch)
            state.step += 1
            self.watcher.stepped(len(batch.labels), partial(_mean, totals))
            if world.any(bool(signal())):
                self._interrupt(totals, started, signal())
            if state.step % _CHECK_EVERY == 0:
                self._check(world.summed(totals))
        totals = world.summed(totals)
        for skipped in world.gathered(tuple(state.skipped)):
            self._note_skipped(skipped)
        self._check(totals)
        now = time.perf_counter()
        return Trained(totals, started, now - started, batches.seconds / (now - entered))

    def _backward(self, batch: Batch) -> Tensor:
        """Add a batch's gradient to its group's; returns as `step`."""
        run, state = self.run, self.state
        config, device = run.config, self.learner.device
        share = self.world.share(batch, config.size_at(state.epoch))
        frames, labels = on_device(share.batch, device)
        random = np.random.default_rng((config.seed, state.epoch, state.step, *self.world.part))
        if config.erase:
            frames = erased(frames, config.erase, random)
        mix = draw_mix(*frames.shape[:2], mixup=config.mixup, cutmix=config.cutmix, random=random)
        frames = mix.frames(frames) if mix else frames
        self.world.seed_dropout(config.seed, state.epoch, state.step)
        with autocast(config.precision, device):
            output = self.learner.shared(input_from_frames(frames, run.card))
            entropy = partial(cross_entropy, label_smoothing=config.label_smoothing)
            of_labels = partial(mix.loss, entropy) if mix else entropy
            loss, logits = training_loss(output, lambda logits: of_labels(logits, labels))
            if run.teacher:
                loss = run.teacher.loss(loss, logits, frames)
        self.learner.backward(loss * share.weight / run.group_at(state.step))
        shown = mix.labels(labels) if mix else labels
        correct = (logits.detach().argmax(1) == shown).float().mean()
        return torch.stack([loss.detach(), correct, torch.ones_like(correct)]) * share.images

    def _interrupt(self, totals: Tensor, started: float, number: int) -> None:
        """Save the epoch as far as it has come, and end the run."""
        self.state.totals = self.world.summed(totals).tolist()
        self.state.seconds = time.perf_counter() - started
        self.learner.shared.average_gradients()
        self.world.broadcast(self.save)
        raise Interrupted(self.folder.path, number)

    def _validated(self) -> Evaluation:
        """Evaluate on the validation images, each process on its part of them."""
        served = self.learner.served
        evaluation = self.world.evaluated(
            self.run.validation, partial(self._evaluated, served), served
        )
        self._note_skipped(evaluation.skipped)
        return evaluation

    def _evaluated(self, model: nn.Module, images: ImageSet) -> Evaluation:
        """Evaluate on images, prepared and normalised as a device does."""
        card = self.run.card
        batches: Iterable[Batch] = self._kept.get(len(images)) or served_batches(
            images,
            partial(preprocess, height=card.height, width=card.width, fit=card.fit),
            batch_size=max(64, self.run.config.batch_size),
            workers=self.run.loader.workers,
        )
        if self.run.loader.cache:
            batches = self._kept[len(images)] = list(batches)
        return evaluate(TorchBackend(model, card).infer, batches, card.labels)

    def _end_epoch(self, trained: Trained, evaluation: Evaluation) -> None:
        """Write an epoch's results and report them."""
        loss, correct, n = trained.totals.tolist()
        row = Epoch(
            epoch=self.state.epoch + 1,
            lr=self.learner.optimizer.param_groups[0]["lr"],
            train_loss=loss / n,
            train_accuracy=correct / n,
            val_loss=evaluation.loss,
            val_accuracy=evaluation.accuracy,
            seconds=time.perf_counter() - trained.started,
            images_per_second=n / trained.seconds,
            data_wait=trained.data_wait,
        )
        best = self.state.next_epoch(row)
        if best:
            card = replace(self.run.card, accuracy=evaluation.accuracy, accuracy_n=evaluation.n)
            self.folder.save_checkpoint(self.learner.served, card)
        self.save()
        self.folder.append_metrics(row)
        self.watcher.epoch_finished(row, best=best)

    def _result(self) -> TrainResult:
        """Evaluate the best checkpoint from its file, draw the plots, remove the state."""
        state, folder = self.state, self.folder
        if state.best is None:
            raise UserError(f"{folder.path} has no finished epoch. Start a new run")
        evaluation = self._evaluated(folder.load_model(), self.run.validation)
        folder.finish(state.history, evaluation)
        skipped = (*self.run.validation.skipped, *state.skipped)
        return TrainResult(
            folder.path, folder.checkpoint, state.best, tuple(state.history), evaluation, skipped
        )

    def _note_skipped(self, skipped: tuple[str, ...]) -> None:
        """Report each image that could not be decoded once."""
        for sentence in skipped:
            if sentence not in self.state.skipped:
                self.state.skipped.append(sentence)
                self.watcher.skipped(sentence)

    def _check(self, totals: Tensor) -> None:
        """Stop if nothing is left to learn from, or the loss diverged."""
        loss, _, n = totals.tolist()
        if not n:
            first = self.state.skipped[0] if self.state.skipped else "there are too few"
            raise UserError(f"no training images are left: {first}")
        if not math.isfinite(loss):
            raise UserError(
                f"the loss is {loss} in epoch {self.state.epoch + 1}: training diverged. "
                f"Start again with a lower --lr than {self.run.config.peak_rate:g}"
            )


def _mean(totals: Tensor) -> float:
    loss, _, n = totals.tolist()
    return float(loss / max(n, 1))
