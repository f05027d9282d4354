"""Optimisers on two-dimensional surfaces, where their paths are visible."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from edgecat.training.config import LEARNING_RATES
from edgecat.training.optim import make_optimizer

_RATES = tuple(float(rate) for rate in np.geomspace(1e-3, 1e3, 25))
_NOISE = 0.5


@dataclass(frozen=True)
class Surface:
    """A function of x and y with known minima.

    Attributes:
        name: plain text.
        text: its difficulty.
        start: (x, y).
        minima: (x, y) each.
        box: left, right, bottom and top of the view.
        height: the function, for tensors and arrays.
    """

    name: str
    text: str
    start: tuple[float, float]
    minima: tuple[tuple[float, float], ...]
    box: tuple[float, float, float, float]
    height: Callable[..., Tensor]

    def at(self, point: tuple[float, float]) -> float:
        """Return the height at a point."""
        return float(self.height(*map(torch.tensor, point)))


@dataclass(frozen=True)
class Descent:
    """An optimiser's path on a surface, at its best rate.

    Attributes:
        surface: its name.
        optimizer: its name.
        rate: learning rate, chosen from a grid.
        points: (x, y) at the start and after each step.
        heights: heights there, above the minimum.
        arrived: the first step within 1 % of the initial height; -1 if there is none.
    """

    surface: str
    optimizer: str
    rate: float
    points: tuple[tuple[float, float], ...]
    heights: tuple[float, ...]
    arrived: int


def _valley(x: Tensor, y: Tensor) -> Tensor:
    return (1 - x) ** 2 + 20 * (y - x**2) ** 2


def _saddle(x: Tensor, y: Tensor) -> Tensor:
    return 2 * x**2 - y**2 + y**4 / 4


def _beale(x: Tensor, y: Tensor) -> Tensor:
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


SURFACES: tuple[Surface, ...] = (
    Surface(
        "valley",
        "Rosenbrock's: steep walls and a curved floor that falls slowly",
        (-1.2, 1.4),
        ((1.0, 1.0),),
        (-1.9, 1.9, -0.9, 2.3),
        _valley,
    ),
    Surface(
        "saddle",
        "flat at the start: the descent is sideways and hardly visible",
        (-1.1, 0.01),
        ((0.0, 2**0.5), (0.0, -(2**0.5))),
        (-1.9, 1.9, -1.7, 1.7),
        _saddle,
    ),
    Surface(
        "Beale",
        "a cliff at the start and a plain around the minimum",
        (1.0, 1.5),
        ((3.0, 0.5),),
        (-0.6, 4.4, -2.2, 2.2),
        _beale,
    ),
)


def descents(
    names: Sequence[str], *, steps: int, seed: int, advance: Callable[[int], None]
) -> list[Descent]:
    """Run every optimiser on every surface.

    The gradient is exact, except for `sgd`, which gets noise of half its norm: on a
    surface without data it would equal `gd`.

    Args:
        names: names of the optimisers.
        steps: number of steps.
        seed: seed of the noise.
        advance: called after each path.
    """
    found = []
    for surface in SURFACES:
        for name in names:
            found.append(_best_way(surface, name, steps, seed))
            advance(1)
    return found


def _best_way(surface: Surface, name: str, steps: int, seed: int) -> Descent:
    """Descend at all rates at once; of the paths that stay in view, keep the lowest final one."""
    rates = LEARNING_RATES[name] * torch.tensor(_RATES)
    ways = _ways(surface, name, rates, steps, seed)
    floor = min(surface.at(minimum) for minimum in surface.minima)
    heights = (surface.height(ways[..., 0], ways[..., 1]) - floor).clamp(min=0)
    left, right, bottom, top = surface.box
    low, high = torch.tensor((left, bottom)), torch.tensor((right, top))
    stays = ((ways >= low) & (ways <= high)).all(2).all(0)
    late = heights[steps // 2 :].mean(0).nan_to_num(math.inf)
    best = int(torch.where(stays, late, math.inf).argmin())
    near = heights[:, best] <= 0.01 * heights[0, best]
    return Descent(
        surface=surface.name,
        optimizer=name,
        rate=float(rates[best]),
        points=tuple((x, y) for x, y in ways[:, best].tolist()),
        heights=tuple(heights[:, best].tolist()),
        arrived=int(near.nonzero()[0]) if near.any() else -1,
    )


def _ways(surface: Surface, name: str, rates: Tensor, steps: int, seed: int) -> Tensor:
    """Descend at several rates in parallel: float32 (steps + 1, rates, 2).

    These optimisers work elementwise, and a step is the rate times a function of the
    gradients so far: so one tensor holds all paths, with each step scaled by its rate.
    """
    model = nn.Module()
    place = nn.Parameter(torch.tensor([surface.start]).repeat(len(rates), 1))
    model.register_parameter("place", place)
    optimizer = make_optimizer(model, name, lr=1.0, weight_decay=0)
    random = torch.Generator().manual_seed(seed)
    ways = [place.detach().clone()]
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        surface.height(place[:, 0], place[:, 1]).sum().backward()  # type: ignore[no-untyped-call]
        if name == "sgd" and place.grad is not None:
            noise = torch.randn(1, 2, generator=random)
            place.grad += _NOISE * place.grad.norm(dim=1, keepdim=True) * noise
        optimizer.step()
        with torch.no_grad():
            place.copy_(ways[-1] + rates[:, None] * (place - ways[-1]))
        ways.append(place.detach().clone())
    return torch.stack(ways)
