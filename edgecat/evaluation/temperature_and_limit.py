"""The two numbers that a calibration finds on held-out photographs, many or few."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgecat.scores import cross_entropy

PASS = 0.99
"""Fraction of the validation photographs within the energy limit; of few, all."""
FEW_PHOTOGRAPHS = round(1 / (1 - PASS))
"""Of fewer, the limit cannot leave one out."""
MARGIN = 0.1
"""Fraction of the drawn frames below the energy to which few photographs' limit moves half-way."""
MISTAKES = 5
"""Fewer wrong predictions are no evidence that the model deserves more confidence."""
_COLDEST, _WARMEST = 0.05, 20.0
_SECTIONS, _GOLDEN = 40, 0.6180339887498949

Energies = NDArray[np.float64]


def best_temperature(logits: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    """The temperature that minimises the mean cross entropy, by golden-section search of its log.

    With fewer than 5 wrong predictions it is at least 1: without them the loss falls for ever as
    the confidence rises, whatever that is worth on other images.

    Source: Guo et al. 2017, https://arxiv.org/abs/1706.04599, section 4.2.

    Args:
        logits: (n, classes).
        truth: (n,).
    """

    def loss(power: float) -> float:
        return float(cross_entropy(logits / np.float32(np.exp(power)), truth).mean())

    wrong = int((logits.argmax(1) != truth).sum())
    low, high = np.log(_COLDEST if wrong >= MISTAKES else 1.0), np.log(_WARMEST)
    for _ in range(_SECTIONS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return _rounded(np.exp((low + high) / 2))


def limit_of(energy: Energies, drawn: Energies, share: float = PASS) -> float:
    """An energy with at least `share` of the given ones (n,) at or below it: midway to the next.

    Where that is all of them, the highest of so few says little about the next photograph: the
    limit lies half-way to the drawn frames, to the energy that a tenth of theirs (m,) are below.
    """
    rising = np.sort(energy)
    last = int(np.ceil(share * len(rising) - 1e-9)) - 1
    if last < len(rising) - 1:
        return float(rising[last : last + 2].mean())
    return float((rising[last] + max(rising[last], np.quantile(drawn, MARGIN))) / 2)


def _rounded(value: float) -> float:
    return float(f"{value:.9g}")
