"""What one run works with: pictures, model, optimiser and folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from edgecat.data.folder import PictureSet
from edgecat.training.average import WeightAverage
from edgecat.training.compiled import compiled
from edgecat.training.config import TrainConfig
from edgecat.training.distributed import ALONE, World
from edgecat.training.loader import Loader
from edgecat.training.run_folder import STATE
from edgecat.training.state import RunState, save_state
from edgecat.training.teacher import Teacher
from edgecat.training.transfer import freeze, frozen_stages
from edgecat.training.watcher import Watcher
from edgecat_runtime.model.card import ModelCard


@dataclass
class Job:
    """Everything that one run works with.

    Attributes:
        config: with what `auto` and None stand for filled in.
        folder: of the run.
        device: where the model is.
        card: the model's, before training.
        model: in channels-last layout.
        optimizer: over its parameters.
        average: of the model's weights, where the configuration asks for it.
        teacher: whose answers are learnt, where the configuration names one.
        scaler: of the gradients in fp16; does nothing in other precisions.
        loader: of the training pictures.
        validation: the validation pictures.
        rate: the learning rate of an update, counted from 0 over the whole run.
        state: how far the run has come.
        watcher: told of the progress.
        forward: what a training step calls: the model, or what wraps it and shares its weights.
        world: the processes of the run.
    """

    config: TrainConfig
    folder: Path
    device: torch.device
    card: ModelCard
    model: nn.Module
    optimizer: Optimizer
    average: WeightAverage | None
    teacher: Teacher | None
    scaler: GradScaler
    loader: Loader
    validation: PictureSet
    rate: Callable[[int], float]
    state: RunState
    watcher: Watcher
    forward: nn.Module
    world: World = ALONE

    @property
    def checkpoint(self) -> Path:
        """The best epoch's file."""
        return self.folder / f"{self.config.arch}.safetensors"

    @property
    def group(self) -> int:
        """Batches that one update of the weights takes; an epoch's last ones may be fewer."""
        steps = self.loader.steps
        return steps if self.config.optimizer == "gd" else min(self.config.accumulate, steps)

    @property
    def updates(self) -> int:
        """Updates of the weights in an epoch."""
        return -(-self.loader.steps // self.group)

    @property
    def update(self) -> int:
        """Number of the update that the present batch belongs to, over the whole run."""
        return self.state.epoch * self.updates + self.state.step // self.group

    @property
    def served(self) -> nn.Module:
        """The module that is validated and saved."""
        return self.average.module if self.average else self.model

    @property
    def models(self) -> dict[str, nn.Module]:
        """The modules that the next step depends on, by their names in the state."""
        average = {"average": self.average.module} if self.average else {}
        return {"model": self.model, **average}

    @property
    def over(self) -> bool:
        """Whether every epoch is done, or too many went by without a better one."""
        state, config = self.state, self.config
        stale = config.patience is not None and state.stale_for() >= config.patience
        return stale or state.epoch >= config.epochs

    def wrap(self) -> None:
        """Make `forward` anew: the model, or what shares its gradients out; compiled if asked."""
        self.forward = self.world.wrapped(self.model, self.device)
        if self.config.compiled:
            self.forward = compiled(self.forward)

    def hold(self) -> None:
        """Freeze what the configuration freezes in this epoch; the model is in training mode."""
        frozen = self.config.frozen_at(self.state.epoch)
        if freeze(self.model, frozen_stages(self.model, frozen, self.config.arch)):
            self.wrap()

    def save(self) -> None:
        """Write the state, so that `resume` can take it up; raises as `save_state`."""
        if not self.world.leader:
            return
        path, device = self.folder / STATE, self.device
        save_state(path, self.state, self.models, self.optimizer, self.scaler, device=device)

    def note(self, skipped: tuple[str, ...]) -> None:
        """Tell the watcher of pictures that could not be decoded, of each one once."""
        for sentence in skipped:
            if sentence not in self.state.skipped:
                self.state.skipped.append(sentence)
                self.watcher.skipped(sentence)
