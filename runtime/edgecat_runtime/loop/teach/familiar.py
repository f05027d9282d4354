"""Whether an image shows any of the classes: its distance to the captured ones, and a limit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.types import Numbers, Values

KEPT = 0.95
"""Fraction of the classes' own images, left out, that the limit accepts."""
_SLACK = 1.15
"""Times the limit for things that were shown: new views of them are farther than held-back ones."""


@dataclass(frozen=True)
class Familiar:
    """The images of the classes, and how far from the nearest one an image may be.

    Attributes:
        shown: float32 (n, features), each of length 1.
        limit: a cosine distance, 0..2.
    """

    shown: Values
    limit: float

    def strangeness(self, features: Values) -> Numbers:
        """Log of the distance (n,) over the limit: above 0, an image shows none of the classes."""
        distances = _nearest(_unit(features), self.shown)
        return np.asarray(np.log(np.maximum(distances, 1e-9) / max(self.limit, 1e-9)))


def fit_familiar(features: Values, groups: NDArray[np.int64], none: Values) -> Familiar:
    """Set the limit, from the images of no class where there are some, else from leave-out alone.

    Args:
        features: float32 (n, features), of the classes' images.
        groups: (n,); an image is not compared with those of its group.
        none: float32 (m, features), of images that show none of the classes.
    """
    shown = _unit(features)
    own = _apart(shown, groups)
    limit = float(np.quantile(own, KEPT)) * _SLACK
    if len(none):
        limit = _parting(own, _nearest(_unit(none), shown), limit)
    return Familiar(shown, limit)


def _parting(own: Numbers, strange: Numbers, usual: float) -> float:
    """The limit that refuses most of the images of no class, of those that accept the classes' own.

    Images of no class that are as near as the classes' own are left to the head, for which they are
    a class. Of equal limits, the nearest to the usual one is taken.
    """
    values = np.unique(np.concatenate([own, strange, [usual]]))
    between = np.concatenate([(values[1:] + values[:-1]) / 2, [usual]])
    between = between[(own[:, None] <= between).mean(0) >= KEPT]
    refused = (strange[:, None] > between).sum(0)
    good = between[refused == refused.max()]
    return float(good[np.argmin(np.abs(good - usual))])


def _unit(features: Values) -> Values:
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(length, 1e-9), np.float32)


def _nearest(features: Values, shown: Values) -> Numbers:
    if not len(shown):
        return np.full(len(features), 2.0)
    return np.asarray(1.0 - (features @ shown.T).max(1), np.float64)


def _apart(shown: Values, groups: NDArray[np.int64]) -> Numbers:
    """The distance of each image to the nearest one of another group; 1 if there is none."""
    likeness = shown @ shown.T
    likeness[groups[:, None] == groups[None, :]] = 0.0
    return np.asarray(1.0 - likeness.max(1), np.float64)
