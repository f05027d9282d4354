"""Checks of labelled images: corruption, duplicates, imbalance, sizes and doubtful labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgecat.curation.findings import Copies, Doubt, Findings
from edgecat.curation.fingerprint import (
    compared,
)
from edgecat.curation.inspection import Inspected, look, same_images
from edgecat.data.folder import ImageSet
from edgecat.scores import cross_entropy
from edgecat_runtime.types import Image

DOUBT = 0.05  # a label that the model disagrees with is doubtful below this probability
WORST = 0.01  # and so is, among those, this fraction of all images with the highest loss


@dataclass(frozen=True)
class Judge:
    """A trained model that checks labels.

    Attributes:
        name: file name.
        labels: in the order of its logits; they include every label of the data.
        prepare: turns an image, uint8 (h, w, 3) BGR, into the model's input frame.
        infer: maps frames, uint8 (n, height, width, 3), to logits, float32 (n, classes).
        temperature: divisor of the logits.
    """

    name: str
    labels: tuple[str, ...]
    prepare: Callable[[Image], Image]
    infer: Callable[[Image], NDArray[np.float32]]
    temperature: float = 1.0


def check(
    pictures: ImageSet,
    *,
    judge: Judge | None = None,
    on_batch: Callable[[int], None] = lambda pictures: None,
) -> Findings:
    """Check every image.

    Args:
        pictures: the set from `scan`.
        judge: a model to check the labels with.
        on_batch: called with the number of images of each batch.
    """
    seen: list[Inspected] = []
    doubts: list[Doubt] = []
    for batch in look(pictures.pictures, judge.prepare if judge else None):
        if judge is not None:
            doubts += _doubts(judge, pictures, batch, len(seen))
        seen += (Inspected(s.problem, s.digest, s.size, s.print) for s in batch)
        on_batch(len(batch))
    return Findings(
        pictures,
        tuple((i, one.problem) for i, one in enumerate(seen) if one.problem),
        tuple(_copies(pictures, seen)),
        np.array([one.size for one in seen], np.int64).reshape(-1, 2),
        _doubtful(doubts, len(seen)),
        judge.name if judge else "",
    )


def _copies(pictures: ImageSet, seen: Sequence[Inspected]) -> list[Copies]:
    groups = [_described(group, pictures, seen) for group in same_images(seen)]
    return sorted(groups, key=lambda g: (-len(g.splits), -len(g.labels), g.members))


def _described(group: tuple[int, ...], pictures: ImageSet, seen: Sequence[Inspected]) -> Copies:
    prints = [each for i in group if (each := seen[i].print) is not None]
    members = [pictures.pictures[i] for i in group]
    return Copies(
        group,
        identical=len({seen[i].digest for i in group}) == 1,
        mirrored=any(compared(prints[0], other).mirrored for other in prints[1:]),
        splits=tuple(sorted({p.split for p in members})),
        labels=tuple(sorted({pictures.labels[p.label] for p in members})),
    )


def _doubtful(denied: Sequence[Doubt], total: int) -> tuple[Doubt, ...]:
    """Select labels with a probability under 5 %, and in any case the worst 1 % of all images.

    The latter makes up for an underconfident model, for example one trained with label smoothing.
    """
    ordered = sorted(denied, key=lambda doubt: doubt.given)
    few = -(-total * WORST // 1)
    return tuple(doubt for i, doubt in enumerate(ordered) if i < few or doubt.given < DOUBT)


def _doubts(
    judge: Judge, pictures: ImageSet, batch: Sequence[Inspected], start: int
) -> list[Doubt]:
    """Return the labels of one batch that the judge disagrees with."""
    chosen = [(start + i, s.frame) for i, s in enumerate(batch) if s.frame is not None]
    if not chosen:
        return []
    order = [judge.labels.index(label) for label in pictures.labels]
    indices = [index for index, _ in chosen]
    labels = np.array([order[pictures.pictures[index].label] for index in indices])
    logits = judge.infer(np.stack([frame for _, frame in chosen])) / judge.temperature
    given = np.exp(-cross_entropy(logits, labels))
    said = logits.argmax(1)
    return [
        Doubt(index, judge.labels[best], float(share))
        for index, best, label, share in zip(indices, said.tolist(), labels, given, strict=True)
        if best != label
    ]
