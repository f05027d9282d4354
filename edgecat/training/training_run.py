"""What a run trains with and never changes: configuration, data, teacher and learning rates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgecat.data.folder import ImageSet
from edgecat.training.config import TrainConfig
from edgecat.training.loader import Loader
from edgecat.training.teacher import Teacher
from edgecat_runtime.model.card import ModelCard


@dataclass(frozen=True)
class TrainingRun:
    """One run's inputs.

    Attributes:
        config: with `auto` and None replaced by what they mean on this machine.
        card: of the model, before training.
        loader: of the training images, at the final input size.
        validation: the validation images.
        rate: learning rate of each update, counted from 0 over the whole run.
        teacher: the model whose predictions are learned too, or None.
    """

    config: TrainConfig
    card: ModelCard
    loader: Loader
    validation: ImageSet
    rate: Callable[[int], float]
    teacher: Teacher | None = None

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return self.loader.steps

    @property
    def group_size(self) -> int:
        """Batches per update of the weights; the last update of an epoch may have fewer."""
        return group_size(self.config, self.steps)

    def group_at(self, step: int) -> int:
        """Batches in the update that the batch `step` of an epoch belongs to."""
        first = step // self.group_size * self.group_size
        return min(self.group_size, self.steps - first)

    def closes_group(self, step: int) -> bool:
        """Whether the batch `step` of an epoch is the last one of its update."""
        return (step + 1) % self.group_size == 0 or step + 1 == self.steps

    def update_at(self, epoch: int, step: int) -> int:
        """Number of the update that a batch belongs to, counted from 0 over the whole run."""
        return epoch * updates_per_epoch(self.config, self.steps) + step // self.group_size


def group_size(config: TrainConfig, steps: int) -> int:
    """Batches per update: all of an epoch for `gd`, else `accumulate`, at most an epoch."""
    return steps if config.optimizer == "gd" else min(config.accumulate, steps)


def updates_per_epoch(config: TrainConfig, steps: int) -> int:
    """Updates of the weights per epoch of `steps` batches."""
    return -(-steps // group_size(config, steps))
