"""A model's predictions for drawn frames that show none of its classes."""

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
"""Seed of the first frame: calibration uses other seeds."""
FRAMES = 60
"""Number of frames per kind."""
_SHOWN, _BATCH = 6, 20


@dataclass(frozen=True)
class Outliers:
    """A model's predictions for one kind of drawn frames.

    Attributes:
        kind: one of `edgecat.pets.outliers.KINDS`.
        energies: (n,).
        unsure: fraction that is `unsure`, 0..1; 0 if the card has no limit.
        best: the most probable class of each of the frames below.
        frames: the first few, uint8 (240, 320, 3) BGR.
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
    """Run a model on drawn frames of every kind.

    Args:
        infer: maps frames, uint8 (n, height, width, 3), to logits.
        card: of the model.
        count: frames per kind.
        on_batch: called with the number of frames in each batch.
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
