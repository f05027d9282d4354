"""The ways back from a unit to the pixels."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from edgecat_runtime.errors import UserError
from edgecat_runtime.types import Values

How = Literal["gradient", "guided", "deconv"]
Place = Literal["all", "strongest"] | tuple[int, int]
HOWS: tuple[How, ...] = ("gradient", "guided", "deconv")


class _Deconvolution(torch.autograd.Function):
    """An activation as it is; on the way back what is positive, whatever was let through."""

    @staticmethod
    def forward(ctx: object, inputs: Tensor, output: Tensor) -> Tensor:
        """Hand on `output`, which the activation made of `inputs`."""
        return output.clone()

    @staticmethod
    def backward(ctx: object, *slopes: Tensor) -> tuple[Tensor, None]:
        """Keep the positive part."""
        return slopes[0].clamp(min=0), None


class _Gate(torch.autograd.Function):
    """Nothing on the way forth; on the way back what is positive."""

    @staticmethod
    def forward(ctx: object, maps: Tensor) -> Tensor:
        """Hand on `maps`."""
        return maps.clone()

    @staticmethod
    def backward(ctx: object, *slopes: Tensor) -> Tensor:
        """Keep the positive part."""
        return slopes[0].clamp(min=0)


def positive_back(inputs: Tensor, output: Tensor, how: How) -> Tensor:
    """An activation's output, changed only in how its gradient goes back."""
    if how == "deconv":
        result: Tensor = _Deconvolution.apply(inputs, output.detach())  # type: ignore[no-untyped-call]
    else:
        result = _Gate.apply(output)  # type: ignore[no-untyped-call]
    return result


def values_of(tensor: Tensor) -> Values:
    """A tensor's numbers, float32, on the CPU."""
    result: Values = tensor.detach().float().cpu().numpy()
    return result


def seed(values: Tensor, place: Place) -> Tensor:
    """Where a unit's way back begins, and how strong: in the shape of its map."""
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
        raise UserError(f"place {place}; expected a row and a column of {tuple(values.shape)}")
    start[row, column] = 1
    return start
