"""The back-propagation rules from a unit to the pixels."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from edgecat_runtime.errors import UserError
from edgecat_runtime.types import Values

Propagation = Literal["gradient", "guided", "deconv"]
Place = Literal["all", "strongest"] | tuple[int, int]
PROPAGATIONS: tuple[Propagation, ...] = ("gradient", "guided", "deconv")


class _Deconvolution(torch.autograd.Function):
    """Deconvolution: forward unchanged; backward the positive part, ignoring the forward pass."""

    @staticmethod
    def forward(ctx: object, inputs: Tensor, output: Tensor) -> Tensor:
        """Return `output`, the activation of `inputs`."""
        return output.clone()

    @staticmethod
    def backward(ctx: object, *slopes: Tensor) -> tuple[Tensor, None]:
        """Keep the positive part."""
        return slopes[0].clamp(min=0), None


class _Gate(torch.autograd.Function):
    """Identity forward; the positive part backward."""

    @staticmethod
    def forward(ctx: object, maps: Tensor) -> Tensor:
        """Return `maps`."""
        return maps.clone()

    @staticmethod
    def backward(ctx: object, *slopes: Tensor) -> Tensor:
        """Keep the positive part."""
        return slopes[0].clamp(min=0)


def positive_back(inputs: Tensor, output: Tensor, how: Propagation) -> Tensor:
    """Return an activation's output with a modified gradient."""
    if how == "deconv":
        result: Tensor = _Deconvolution.apply(inputs, output.detach())  # type: ignore[no-untyped-call]
    else:
        result = _Gate.apply(output)  # type: ignore[no-untyped-call]
    return result


def values_of(tensor: Tensor) -> Values:
    """Return a tensor's values as float32 on the CPU."""
    result: Values = tensor.detach().float().cpu().numpy()
    return result


def seed(values: Tensor, place: Place) -> Tensor:
    """Return the seed gradient of a unit, in the shape of its map."""
    if not values.ndim:
        return torch.ones_like(values)
    if place == "all":
        return values.clamp(min=0)
    start = torch.zeros_like(values)
    if place == "strongest":
        start.view(-1)[values.argmax()] = 1
        return start
    row, column = place
    if not (0 <= row < values.shape[0] and 0 <= column < values.shape[1]):
        raise UserError(
            f"invalid place {place}; expected a row and a column of {tuple(values.shape)}"
        )
    start[row, column] = 1
    return start
