"""What a model says to drawn frames that show none of its classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgecat.evaluation.answers import Infer
from edgecat.pets.outliers import KINDS, draw_outlier
from edgecat.scores import energies
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.preprocess import preprocess
from edgecat_runtime.types import Frames

SEED = 3_000_000
"""Of the first frame: calibration draws from others."""
FRAMES = 60
"""Of each kind."""
_SHOWN, _BATCH = 6, 20


@dataclass(frozen=True)
class Outliers:
    """What a model says to one kind of drawn frames.

    Attributes:
        kind: one of `edgecat.pets.outliers.KINDS`.
        energies: (n,).
        unsure: share that is answered `unsure`, 0..1; 0 where the card has no limit.
        best: the most probable class of each of the frames below.
        frames: some, uint8 (240, 320, 3) BGR, the first that were drawn.
    """

    kind: str
    energies: NDArray[np.float64]
    unsure: float
    best: tuple[str, ...]
    frames: tuple[Frames, ...]


def outliers(
    infer: Infer,
    card: ModelCard,
    *,
    count: int = FRAMES,
    on_batch: Callable[[int], None] = lambda frames: None,
) -> list[Outliers]:
    """Ask a model about drawn frames of every kind.

    Args:
        infer: from frames, uint8 (n, height, width, 3), to logits.
        card: of the model.
        count: frames of each kind.
        on_batch: told how many frames each batch had.
    """
    return [_asked(kind, infer, card, count, on_batch) for kind in KINDS]


def _asked(
    kind: str, infer: Infer, card: ModelCard, count: int, on_batch: Callable[[int], None]
) -> Outliers:
    logits: list[NDArray[np.float32]] = []
    shown: list[Frames] = []
    for start in range(0, count, _BATCH):
        drawn = [draw_outlier(kind, SEED + i) for i in range(start, min(start + _BATCH, count))]
        shown += drawn[: max(0, _SHOWN - len(shown))]
        fitted = [preprocess(frame, card.height, card.width, card.fit) for frame in drawn]
        logits.append(infer(np.stack(fitted)))
        on_batch(len(drawn))
    answers = np.concatenate(logits)
    energy = energies(answers, card.temperature)
    limit = np.inf if card.energy_limit is None else card.energy_limit
    best = tuple(card.labels[i] for i in answers[: len(shown)].argmax(1))
    return Outliers(kind, energy, float((energy > limit).mean()), best, tuple(shown))
