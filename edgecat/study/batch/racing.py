"""Races of mini-batches against the full batch, to the loss that it reaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgecat.study.batch.measured import Walk


@dataclass(frozen=True)
class Race:
    """The cost for one batch size to reach the full batch's lowest loss; means over seeds.

    Attributes:
        batch: batch size.
        target: the target loss, in nats.
        seconds: training time; infinite if a run never reached it.
        passes: epochs, likewise.
        share: fraction of the full batch's training time.
    """

    batch: int
    target: float
    seconds: float
    passes: float
    share: float


def raced(walks: Sequence[Walk]) -> list[Race]:
    """Race mini-batches against the full batch, seed by seed, to its lowest loss."""
    full = max(walk.batch for walk in walks)
    rows: dict[int, list[tuple[float, ...]]] = {}
    for reference in (walk for walk in walks if walk.batch == full):
        target = min(reference.losses[1:])
        allowed = reference.reached(target)[0]
        for walk in walks:
            if walk.seed == reference.seed:
                seconds, passes = walk.reached(target)
                row = (target, seconds, passes, seconds / allowed)
                rows.setdefault(walk.batch, []).append(row)
    return [Race(size, *np.mean(each, 0).tolist()) for size, each in rows.items()]


def halved(walks: Sequence[Walk]) -> dict[int, tuple[float, float]]:
    """Return the mean seconds and epochs until the loss was half the initial one, by batch size.

    Infinite where a run never got there. At that loss something has been learnt, which the full
    batch's lowest one does not guarantee.
    """
    rows: dict[int, list[tuple[float, float]]] = {}
    for walk in walks:
        rows.setdefault(walk.batch, []).append(walk.reached(0.5 * walk.losses[0]))
    return {
        size: (float(np.mean(seconds)), float(np.mean(passes)))
        for size, each in rows.items()
        for seconds, passes in [zip(*each, strict=True)]
    }
