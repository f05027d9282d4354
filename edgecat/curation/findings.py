"""What was found in a set of pictures."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat.data.folder import PictureSet

UNEVEN = 3.0  # times as many pictures of one label as of another
SMALL = 64  # pixels


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
