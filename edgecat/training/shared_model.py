"""The model that a training step calls: alone, or sharing its gradients with other processes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from edgecat.models.auxiliary import TrainingOutput
from edgecat.training.compiled import compiled


class SharedModel:
    """A model whose gradients are averaged over the processes of a run.

    Args:
        module: on its device.
        device: of the module.
        processes: that share the gradients; 1 for none but this one.
        compile_steps: run training steps through `torch.compile`.

    Attributes:
        module: the model itself, whose weights are trained.
        device: of the module.
    """

    def __init__(
        self,
        module: nn.Module,
        device: torch.device,
        *,
        processes: int = 1,
        compile_steps: bool = False,
    ) -> None:
        self.module, self.device = module, device
        self._processes, self._compile = processes, compile_steps
        self.rebuild()

    def __call__(self, images: Tensor) -> Tensor | TrainingOutput:
        """Run the training step's forward pass; the result is that of the module."""
        output: Tensor | TrainingOutput = self._forward(images)
        return output

    def rebuild(self) -> None:
        """Wrap the module again, after other weights were frozen."""
        self._wrapped = self.module
        if self._processes > 1:
            devices = [self.device] if self.device.type == "cuda" else None
            self._wrapped = DistributedDataParallel(
                self.module, device_ids=devices, gradient_as_bucket_view=True
            )
        self._forward = compiled(self._wrapped) if self._compile else self._wrapped

    def accumulating(self, wanted: bool) -> AbstractContextManager[object]:
        """While a forward and backward pass run: keep the gradients in this process if `wanted`.

        The last backward pass of an update, outside this context, then averages the sum of all of
        them over the processes at once.
        """
        if wanted and isinstance(self._wrapped, DistributedDataParallel):
            return self._wrapped.no_sync()
        return nullcontext()

    def average_gradients(self) -> None:
        """Average accumulated gradients over the processes, so that one of them can save them."""
        if self._processes == 1:
            return
        for parameter in self.module.parameters():
            if parameter.grad is not None:
                distributed.all_reduce(parameter.grad)
                parameter.grad /= self._processes
