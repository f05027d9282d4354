"""The distribution of a tensor's values, and the int8 range derived from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Range = tuple[float, float]
Method = Literal["minmax", "percentile", "entropy"]
METHODS: tuple[Method, ...] = ("minmax", "percentile", "entropy")
PERCENTILE = 99.999
_BINS = 8192  # over [-limit, limit]
_SAMPLES = 200_000  # values per tensor and batch added to the histogram
_LEVELS = 128  # of int8 on each side of zero


class Distribution:
    """Range and histogram of one tensor, accumulated batch by batch in constant memory.

    The histogram covers [-limit, limit]; a value beyond it doubles the limit and merges bins in
    pairs, so no range has to be known in advance.

    Attributes:
        lowest: exact minimum.
        highest: exact maximum.
        counts: int64 (8192,), from evenly spaced samples.
        limit: the histogram's range on both sides of zero.
    """

    def __init__(self) -> None:
        self.lowest = np.inf
        self.highest = -np.inf
        self.counts = np.zeros(_BINS, np.int64)
        self.limit = 0.0

    @property
    def peak(self) -> float:
        """Largest magnitude; infinite if a value was not finite."""
        peak = max(abs(self.lowest), abs(self.highest))
        return float(peak) if np.isfinite(peak) else np.inf

    def add(self, values: NDArray[Any]) -> None:
        """Add a batch of values of any shape."""
        if not values.size:
            return
        self.lowest = min(self.lowest, float(values.min()))
        self.highest = max(self.highest, float(values.max()))
        if not 0 < self.peak < np.inf:
            return
        self.limit = self.limit or self.peak
        while self.limit < self.peak:
            self._widen()
        sample = values.reshape(-1)[:: max(1, values.size // _SAMPLES) | 1]
        places = ((sample + self.limit) * (_BINS / 2 / self.limit)).astype(np.int64)
        self.counts += np.bincount(np.minimum(places, _BINS - 1), minlength=_BINS)

    def range(self, method: Method) -> Range:
        """The range, containing zero, that `method` chooses for quantisation."""
        return _RANGES[method](self)

    def _widen(self) -> None:
        pairs = self.counts.reshape(-1, 2).sum(1)
        self.counts = np.zeros_like(self.counts)
        self.counts[_BINS // 4 : -_BINS // 4] = pairs
        self.limit *= 2


def _minmax(tensor: Distribution) -> Range:
    return min(tensor.lowest, 0.0), max(tensor.highest, 0.0)


def _percentile(tensor: Distribution) -> Range:
    """Clip the outermost 0.001 % of the values on either side."""
    total = tensor.counts.sum()
    if not total:
        return _minmax(tensor)
    share = tensor.counts.cumsum() / total
    tail = 1 - PERCENTILE / 100
    width = 2 * tensor.limit / _BINS
    lowest = np.searchsorted(share, tail, side="right") * width - tensor.limit
    highest = (np.searchsorted(share, 1 - tail) + 1) * width - tensor.limit
    return _clipped(tensor, float(lowest), float(highest))


def _entropy(tensor: Distribution) -> Range:
    """Clip where the Kullback-Leibler divergence from the unclipped distribution is smallest.

    Source: Migacz, 8-bit inference with TensorRT, GTC 2017.
    """
    half = _BINS // 2
    folded = (tensor.counts[half:] + tensor.counts[:half][::-1]).astype(np.float64)
    folded[0] = folded[1]  # the spike of a ReLU's zeros would dominate everything
    if not folded.any():
        return _minmax(tensor)
    edges = range(_LEVELS, half + 1, _LEVELS // 4)
    best = min(edges, key=lambda edge: _divergence(folded, edge))
    reach = best * tensor.limit / half
    return _clipped(tensor, -reach, reach)


def _divergence(folded: NDArray[np.float64], edge: int) -> float:
    """The divergence of `folded`, clipped to `edge` bins and cut to 128 levels, from `folded`."""
    kept = folded[:edge].copy()
    filled = kept > 0
    starts = np.arange(_LEVELS) * edge // _LEVELS
    sums = np.add.reduceat(kept, starts)
    counts = np.add.reduceat(filled.astype(np.float64), starts)
    level = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
    coarse = np.repeat(level, np.diff([*starts, edge])) * filled
    kept[-1] += folded[edge:].sum()
    both = (kept > 0) & (coarse > 0)
    missed = kept[~both].sum() / kept.sum()
    p, q = kept[both] / kept.sum(), coarse[both] / max(coarse.sum(), 1e-12)
    return float((p * np.log(p / q)).sum() + missed * 10)


def _clipped(tensor: Distribution, lowest: float, highest: float) -> Range:
    low, high = _minmax(tensor)
    return max(low, min(lowest, 0.0)), min(high, max(highest, 0.0))


_RANGES: dict[Method, Callable[[Distribution], Range]] = {
    "minmax": _minmax,
    "percentile": _percentile,
    "entropy": _entropy,
}
