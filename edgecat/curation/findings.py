"""The findings of a check of labelled images."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat.data.folder import ImageSet

UNEVEN = 3.0  # ratio of the largest to the smallest class
SMALL = 64  # pixels


@dataclass(frozen=True)
class Doubt:
    """A label that the model disagrees with.

    Attributes:
        picture: index of the image.
        said: the predicted label.
        given: predicted probability of the image's own label, 0..1.
    """

    picture: int
    said: str
    given: float


@dataclass(frozen=True)
class Copies:
    """A group of duplicate images.

    Attributes:
        members: indices of the images, two or more.
        identical: whether all files are identical, byte for byte.
        mirrored: whether one is the mirror image of another.
        splits: their splits, sorted; more than one means that test data leaks into training.
        labels: their labels, sorted; more than one means that one is wrong.
    """

    members: tuple[int, ...]
    identical: bool
    mirrored: bool
    splits: tuple[str, ...]
    labels: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """Short notes on what is special about the group."""
        several = tuple(
            f"{name} {' and '.join(each or 'none' for each in values)}"
            for name, values in (("splits", self.splits), ("labels", self.labels))
            if len(values) > 1
        )
        how = (("the same file", self.identical), ("mirrored", self.mirrored))
        return (*several, *(text for text, so in how if so))


@dataclass(frozen=True)
class Findings:
    """The findings of a check.

    Attributes:
        pictures: the checked images.
        corrupt: index and message per image that cannot be decoded completely.
        copies: groups of duplicates, those across splits or labels first.
        sizes: int64 (n, 2), height and width of each image; 0 for a corrupt one.
        doubts: labels that the model disagrees with, highest loss first.
        model: name of the model; empty if none was used.
    """

    pictures: ImageSet
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
        """The groups of duplicates that span more than one split."""
        return tuple(group for group in self.copies if len(group.splits) > 1)

    @cached_property
    def uneven(self) -> tuple[str, ...]:
        """The splits with more than three times as many images of one label as of another."""
        rows = ((split, row.values()) for split, row in self.counts.items())
        return tuple(split for split, row in rows if max(row) > UNEVEN * min(row))

    @cached_property
    def small(self) -> tuple[int, ...]:
        """The images with a side shorter than 64 pixels."""
        shorter = self.sizes.min(1)
        return tuple(np.flatnonzero((shorter > 0) & (shorter < SMALL)).tolist())

    @property
    def problems(self) -> tuple[str, ...]:
        """The problems, and the number of doubted labels; empty if there are none."""
        doubted = f"labels doubted by {self.model}: {len(self.doubts):,}"
        return (*self.faults, doubted) if self.doubts else self.faults

    @cached_property
    def faults(self) -> tuple[str, ...]:
        """One message per kind of definite finding, independent of a model."""
        mixed = sum(len(group.labels) > 1 for group in self.copies)
        extra = sum(len(group.members) - 1 for group in self.copies)
        found = (
            (len(self.pictures.skipped), "files in class folders that are not images"),
            (len(self.corrupt), "corrupt images"),
            (extra, "duplicate images"),
            (len(self.copies), "groups of duplicates"),
            (len(self.across), "groups of duplicates across splits"),
            (mixed, "groups of duplicates with conflicting labels"),
            (len(self.small), f"images with a side under {SMALL} pixels"),
        )
        sentences = [f"{text}: {count:,}" for count, text in found if count]
        sentences += [
            f"{split or 'the images'}: over {UNEVEN:.0f} times as many of one label as of another"
            for split in self.uneven
        ]
        return tuple(sentences)

    def to_dict(self) -> dict[str, Any]:
        """The output of `edgecat data check --json`."""
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
