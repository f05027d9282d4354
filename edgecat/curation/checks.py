"""What is wrong with labelled pictures: damage, copies, imbalance, sizes, doubtful labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgecat.curation.findings import Copies, Doubt, Findings
from edgecat.curation.fingerprint import (
    compared,
)
from edgecat.curation.inspection import Seen, look, same_pictures
from edgecat.data.folder import PictureSet
from edgecat.scores import cross_entropy
from edgecat_runtime.types import Image

DOUBT = 0.05  # a label that a model denies and gives less than this is doubtful
WORST = 0.01  # and so is this share of all, those of the highest loss, where it denies them


@dataclass(frozen=True)
class Judge:
    """A trained model, to doubt labels with.

    Attributes:
        name: of its file.
        labels: in the order of its logits; every label of the data is among them.
        prepare: from a picture, uint8 (h, w, 3) BGR, to the model's frame.
        infer: from frames, uint8 (n, height, width, 3), to logits, float32 (n, classes).
        temperature: divides the logits.
    """

    name: str
    labels: tuple[str, ...]
    prepare: Callable[[Image], Image]
    infer: Callable[[Image], NDArray[np.float32]]
    temperature: float = 1.0


def check(
    pictures: PictureSet,
    *,
    judge: Judge | None = None,
    on_batch: Callable[[int], None] = lambda pictures: None,
) -> Findings:
    """Look at every picture once.

    Args:
        pictures: what `scan` found.
        judge: a model to doubt the labels with.
        on_batch: told how many pictures each batch had.
    """
    seen: list[Seen] = []
    doubts: list[Doubt] = []
    for batch in look(pictures.pictures, judge.prepare if judge else None):
        if judge is not None:
            doubts += _doubts(judge, pictures, batch, len(seen))
        seen += (Seen(s.problem, s.digest, s.size, s.print) for s in batch)
        on_batch(len(batch))
    return Findings(
        pictures,
        tuple((i, one.problem) for i, one in enumerate(seen) if one.problem),
        tuple(_copies(pictures, seen)),
        np.array([one.size for one in seen], np.int64).reshape(-1, 2),
        _doubtful(doubts, len(seen)),
        judge.name if judge else "",
    )


def _copies(pictures: PictureSet, seen: Sequence[Seen]) -> list[Copies]:
    groups = [_described(group, pictures, seen) for group in same_pictures(seen)]
    return sorted(groups, key=lambda g: (-len(g.splits), -len(g.labels), g.members))


def _described(group: tuple[int, ...], pictures: PictureSet, seen: Sequence[Seen]) -> Copies:
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
    """Those with a probability under 5 %, and in any case the worst hundredth of all pictures.

    The second makes up for a model that is less sure than it could be, as label smoothing does.
    """
    ordered = sorted(denied, key=lambda doubt: doubt.given)
    few = -(-total * WORST // 1)
    return tuple(doubt for i, doubt in enumerate(ordered) if i < few or doubt.given < DOUBT)


def _doubts(judge: Judge, pictures: PictureSet, batch: Sequence[Seen], start: int) -> list[Doubt]:
    """The labels of one batch that the judge denies."""
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
