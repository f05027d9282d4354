"""The part of a run that learns: model, optimiser, gradient scaler and weight average."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from edgecat.training.average import WeightAverage
from edgecat.training.optim import set_learning_rate
from edgecat.training.shared_model import SharedModel
from edgecat.training.transfer import freeze


@dataclass(frozen=True)
class Learner:
    """Everything that a gradient step changes.

    Attributes:
        shared: the model, in channels-last layout, and what shares its gradients.
        optimizer: over the model's parameters.
        scaler: scales the loss in fp16; does nothing in other precisions.
        average: moving average of the weights, or None.
    """

    shared: SharedModel
    optimizer: Optimizer
    scaler: GradScaler
    average: WeightAverage | None = None

    @property
    def model(self) -> nn.Module:
        """The model itself."""
        return self.shared.module

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.shared.device

    @property
    def served(self) -> nn.Module:
        """The module that is validated and saved: the average, if there is one."""
        return self.average.module if self.average else self.model

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """The modules that the next step depends on, by their names in the saved state."""
        average = {"average": self.average.module} if self.average else {}
        return {"model": self.model, **average}

    def freeze(self, stages: int) -> None:
        """Freeze the first stages of the model, which is in training mode, and no others."""
        if freeze(self.model, stages):
            self.shared.rebuild()

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss to those that are already there."""
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def update(self, rate: float, *, clip: float | None, number: int) -> None:
        """Step along the accumulated gradients and clear them.

        Does nothing if there are none, because no image of the batches could be decoded.

        Args:
            rate: learning rate.
            clip: largest norm of the gradient; None for no limit.
            number: of this update in the run, from 0; the average's warm-up depends on it.
        """
        if all(parameter.grad is None for parameter in self.model.parameters()):
            return
        set_learning_rate(self.optimizer, rate)
        if clip is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average:
            self.average.update(self.model, number)


@contextmanager
def fastest_convolutions(device: torch.device) -> Iterator[None]:
    """Let cuDNN time its algorithms for each new input shape and keep the fastest (GPUs only)."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = before or device.type == "cuda"
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
