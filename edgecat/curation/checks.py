"""What is wrong with labelled pictures: damage, copies, imbalance, sizes, doubtful labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat.curation.fingerprint import (
    Fingerprint,
    alike_pairs,
    compared,
    digest,
    fingerprint,
    grouped,
)
from edgecat.data.batches import prefetched
from edgecat.data.folder import Picture, PictureSet
from edgecat.scores import cross_entropy
from edgecat_runtime.images import PictureError, decode_picture
from edgecat_runtime.system.machine import cores
from edgecat_runtime.types import Image

DOUBT = 0.05  # a label that a model denies and gives less than this is doubtful
WORST = 0.01  # and so is this share of all, those of the highest loss, where it denies them
UNEVEN = 3.0  # times as many pictures of one label as of another
SMALL = 64  # pixels

_CHUNK = 32


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


@dataclass(frozen=True)
class Doubt:
    """A label that a model does not believe.

    Attributes:
        picture: index of the picture.
        said: the model's label.
        given: probability that the model gives the picture's own label, 0..1.
    """

    picture: int
    said: str
    given: float


@dataclass(frozen=True)
class Copies:
    """Pictures that show the same.

    Attributes:
        members: their indices, two or more.
        identical: whether all are the same file, byte for byte.
        mirrored: whether one is another's mirror image.
        splits: that they lie in, sorted; more than one lets a model be tested on what it learned.
        labels: that they have, sorted; more than one means that one is wrong.
    """

    members: tuple[int, ...]
    identical: bool
    mirrored: bool
    splits: tuple[str, ...]
    labels: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What is special about it, in a few words each."""
        several = tuple(
            f"{name} {' and '.join(each or 'none' for each in values)}"
            for name, values in (("splits", self.splits), ("labels", self.labels))
            if len(values) > 1
        )
        how = (("the same file", self.identical), ("mirrored", self.mirrored))
        return (*several, *(text for text, so in how if so))


@dataclass(frozen=True)
class Findings:
    """What a check found.

    Attributes:
        pictures: what was checked.
        corrupt: index and sentence of each picture that cannot be decoded whole.
        copies: groups of pictures that show the same, those across splits or labels first.
        sizes: int64 (n, 2), height and width of each picture; 0 of a corrupt one.
        doubts: labels that the model denies with a high loss, the highest first.
        model: its name; empty where none judged.
    """

    pictures: PictureSet
    corrupt: tuple[tuple[int, str], ...]
    copies: tuple[Copies, ...]
    sizes: NDArray[np.int64]
    doubts: tuple[Doubt, ...] = ()
    model: str = ""
    counts: dict[str, dict[str, int]] = field(init=False)

    def __post_init__(self) -> None:
        tally = Counter((p.split, p.label) for p in self.pictures.pictures)
        splits = sorted({split for split, _ in tally}, key=("train", "val", "test", "").index)
        labels = list(enumerate(self.pictures.labels))
        counts = {split: {name: tally[split, i] for i, name in labels} for split in splits}
        object.__setattr__(self, "counts", counts)

    @cached_property
    def across(self) -> tuple[Copies, ...]:
        """The groups of copies that lie in more than one split."""
        return tuple(group for group in self.copies if len(group.splits) > 1)

    @cached_property
    def uneven(self) -> tuple[str, ...]:
        """The splits with three times as many pictures of one label as of another."""
        rows = ((split, row.values()) for split, row in self.counts.items())
        return tuple(split for split, row in rows if max(row) > UNEVEN * min(row))

    @cached_property
    def small(self) -> tuple[int, ...]:
        """The pictures with a side shorter than 64 pixels."""
        shorter = self.sizes.min(1)
        return tuple(np.flatnonzero((shorter > 0) & (shorter < SMALL)).tolist())

    @property
    def problems(self) -> tuple[str, ...]:
        """The faults, and how many labels are doubted; empty where all is well."""
        doubted = f"labels doubted by {self.model}: {len(self.doubts):,}"
        return (*self.faults, doubted) if self.doubts else self.faults

    @cached_property
    def faults(self) -> tuple[str, ...]:
        """A sentence for each kind of finding that is one for sure, whatever a model says."""
        mixed = sum(len(group.labels) > 1 for group in self.copies)
        extra = sum(len(group.members) - 1 for group in self.copies)
        found = (
            (len(self.pictures.skipped), "files that are no pictures in class folders"),
            (len(self.corrupt), "corrupt pictures"),
            (extra, "copies of other pictures"),
            (len(self.copies), "groups of copies"),
            (len(self.across), "groups of copies across splits"),
            (mixed, "groups of copies with several labels"),
            (len(self.small), f"pictures with a side under {SMALL} pixels"),
        )
        sentences = [f"{text}: {count:,}" for count, text in found if count]
        sentences += [
            f"{split or 'the pictures'}: over {UNEVEN:.0f} times as many of one label as of another"
            for split in self.uneven
        ]
        return tuple(sentences)

    def to_dict(self) -> dict[str, Any]:
        """What `edgecat data check --json` prints."""
        pictures = self.pictures.pictures
        known = self.sizes[self.sizes[:, 0] > 0]
        return {
            "n": len(pictures),
            "counts": {split or "none": row for split, row in self.counts.items()},
            "skipped": list(self.pictures.skipped),
            "corrupt": [sentence for _, sentence in self.corrupt],
            "copies": [
                {
                    "pictures": [pictures[i].name for i in group.members],
                    "identical": group.identical,
                    "mirrored": group.mirrored,
                    "splits": [split or "none" for split in group.splits],
                    "labels": list(group.labels),
                }
                for group in self.copies
            ],
            "sizes": {
                name: [int(v) for v in np.percentile(known[:, i], (0, 50, 100))]
                if len(known)
                else []
                for i, name in enumerate(("height", "width"))
            },
            "small": [pictures[i].name for i in self.small],
            "model": self.model,
            "doubts": [
                {
                    "picture": pictures[doubt.picture].name,
                    "label": self.pictures.labels[pictures[doubt.picture].label],
                    "said": doubt.said,
                    "given": doubt.given,
                }
                for doubt in self.doubts
            ],
        }


@dataclass(frozen=True)
class Seen:
    """One picture, looked at.

    Attributes:
        problem: why it is corrupt; empty where it is well, and the rest is there.
        digest: of its bytes.
        size: height and width.
        print: its fingerprint.
        frame: for the judge.
    """

    problem: str = ""
    digest: bytes = b""
    size: tuple[int, int] = (0, 0)
    print: Fingerprint | None = None
    frame: Image | None = None


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


def look(
    pictures: Sequence[Picture], prepare: Callable[[Image], Image] | None = None
) -> Iterator[list[Seen]]:
    """Read, decode and fingerprint pictures on all cores, in order, 32 at a time."""
    chunks = (pictures[i : i + _CHUNK] for i in range(0, len(pictures), _CHUNK))
    return prefetched(
        lambda chunk: [_seen(picture, prepare) for picture in chunk],
        chunks,
        workers=cores(),
    )


def same_pictures(seen: Sequence[Seen]) -> list[tuple[int, ...]]:
    """Group what shows the same: the same bytes, or alike fingerprints."""
    whole = [i for i, one in enumerate(seen) if one.print is not None]
    first: dict[bytes, int] = {}

    def pairs() -> Iterator[tuple[int, int]]:
        for i in whole:
            yield first.setdefault(seen[i].digest, i), i
        prints = [(i, seen[i].print) for i in first.values()]  # each file's bytes once
        known = [each for _, each in prints if each is not None]
        for a, b in alike_pairs(known):
            yield prints[a][0], prints[b][0]

    return grouped(len(seen), pairs())


def _seen(picture: Picture, prepare: Callable[[Image], Image] | None) -> Seen:
    try:
        data = picture.read()
        image = decode_picture(data, picture.name)
    except PictureError as error:
        return Seen(str(error))
    if lost := _grey_rows(data, image):
        return Seen(
            f"{picture.name} ends early: {lost} of its {len(image)} rows are grey. Copy it again"
        )
    frame = None if prepare is None else prepare(image)
    return Seen("", digest(data), image.shape[:2], fingerprint(image), frame)


def _grey_rows(data: bytes, image: Image) -> int:
    """Count the last rows of a JPEG that its decoder filled with mid-grey for want of data."""
    if not data.startswith(b"\xff\xd8") or not (image[-1] == 128).all():
        return 0
    other = np.flatnonzero((image != 128).any((1, 2)))
    return len(image) - 1 - int(other[-1]) if len(other) else 0


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
