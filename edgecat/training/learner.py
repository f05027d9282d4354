"""The part of a run that learns: model, optimiser, gradient scaler and weight average."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from edgecat.training.average import WeightAverage
from edgecat.training.compiled import compiled
from edgecat.training.distributed import ALONE, World
from edgecat.training.optim import set_learning_rate
from edgecat.training.transfer import freeze


@dataclass
class Learner:
    """Everything that a gradient step changes.

    Attributes:
        model: in channels-last layout.
        optimizer: over the model's parameters.
        scaler: scales the loss in fp16; does nothing in other precisions.
        device: where the model is.
        average: moving average of the weights, or None.
        compile: run training steps through `torch.compile`.
        world: the processes that share the gradients.
        forward: what a training step calls: the model or its DDP wrapper, compiled if requested.
    """

    model: nn.Module
    optimizer: Optimizer
    scaler: GradScaler
    device: torch.device
    average: WeightAverage | None = None
    compile: bool = False
    world: World = ALONE
    forward: nn.Module = field(init=False)
    _shared: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        self._wrap()

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
            self._wrap()

    def accumulating(self, wanted: bool) -> AbstractContextManager[object]:
        """While a backward pass runs: keep its gradients in this process if `wanted`.

        The last backward pass of an update, outside this context, then averages the sum of all of
        them over the processes at once.
        """
        if wanted and isinstance(self._shared, DistributedDataParallel):
            return self._shared.no_sync()
        return nullcontext()

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

    def _wrap(self) -> None:
        """Rebuild `forward`: the model or its DDP wrapper, compiled if requested."""
        self._shared = self.world.wrapped(self.model, self.device)
        self.forward = compiled(self._shared) if self.compile else self._shared


@contextmanager
def fastest_convolutions(device: torch.device) -> Iterator[None]:
    """Let cuDNN time its algorithms for each new input shape and keep the fastest (GPUs only)."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = before or device.type == "cuda"
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
