"""Splits labelled images permanently into folders train/, val/ and test/."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from edgecat.curation.inspection import Inspected, look, same_images
from edgecat.data.folder import ImageSet, LabelledImage
from edgecat_runtime.errors import UserError
from edgecat_runtime.system.atomic import atomic_folder

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Division:
    """The assignment of images to splits.

    Attributes:
        pictures: the images.
        sides: `train`, `val` or `test` per image; empty for a corrupt image, which is left out.
        corrupt: one message per corrupt image.
        copies: number of images that were kept with their duplicate.
    """

    pictures: ImageSet
    sides: tuple[str, ...]
    corrupt: tuple[str, ...]
    copies: int

    def counts(self) -> dict[str, dict[str, int]]:
        """Count the images per split and label."""
        tally = Counter(
            (side, p.label) for side, p in zip(self.sides, self.pictures.pictures, strict=True)
        )
        labels = list(enumerate(self.pictures.labels))
        return {side: {name: tally[side, i] for i, name in labels} for side in SPLITS}


def divide(
    pictures: ImageSet,
    *,
    val: float,
    test: float,
    seed: int = 0,
    on_batch: Callable[[int], None] = lambda pictures: None,
) -> Division:
    """Assign every image to a split, stratified by label, with duplicates kept together.

    Images already under `val/` or `test/` stay there, with their duplicates; if there
    are any, no others are drawn for that split. The draw is decided by the SHA-256 of
    `seed/name`: the same on every machine.

    Args:
        pictures: the set from `scan`.
        val: fraction of each label for validation, 0 or more.
        test: fraction of each label for testing, 0 or more.
        seed: seed of the split.
        on_batch: called with the number of images read.

    Raises:
        UserError: the fractions leave nothing to train on, or a label has no images in a split.
    """
    if not (val >= 0 and test >= 0 and val + test < 1):
        raise UserError(
            f"the fractions are {val:g} for val and {test:g} for test; expected 0 or more each and "
            "less than 1 together: the rest is the training set"
        )
    seen: list[Inspected] = []
    for batch in look(pictures.pictures):
        seen += batch
        on_batch(len(batch))
    groups = _groups(seen)
    shares = {"test": test, "val": val}
    sides = _sides(pictures, groups, shares, seed)
    division = Division(
        pictures,
        tuple(sides),
        tuple(one.problem for one in seen if one.problem),
        sum(len(group) - 1 for group in groups),
    )
    _check(division, shares)
    return division


def write_division(
    division: Division,
    output: Path,
    *,
    link: bool = False,
    on_image: Callable[[int], None] = lambda pictures: None,
) -> None:
    """Write `output/<split>/<label>/<file>` atomically: the folder appears only when complete.

    Args:
        division: the assignment; the images must not have moved.
        output: a new or empty folder.
        link: make symbolic links instead of copies.
        on_image: called with 1 after each image.

    Raises:
        UserError: the folder is not empty, cannot be written, or links into a tar are requested.
    """
    check_output(output)
    inside = [p.name for p in division.pictures.pictures if p.offset or p.path.suffix == ".tar"]
    if link and inside:
        raise UserError(f"{inside[0]} is inside a tar, which links cannot point into; omit --link")
    taken: set[PurePath] = set()
    with atomic_folder(output) as temporary:
        for side, picture in zip(division.sides, division.pictures.pictures, strict=True):
            if side:
                label = division.pictures.labels[picture.label]
                place = _free(PurePath(side, label), picture, taken)
                _put(picture, temporary / place, link=link)
            on_image(1)


def check_output(output: Path) -> None:
    """Raise UserError unless `output` is a new or empty folder."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"{output} exists and is not empty; expected a new folder. Choose another")


def _groups(seen: Sequence[Inspected]) -> list[tuple[int, ...]]:
    """Group the readable images that show the same; most groups have one member."""
    groups = same_images(seen)
    grouped = {index for group in groups for index in group}
    alone = [(i,) for i, one in enumerate(seen) if not one.problem and i not in grouped]
    return sorted([*groups, *alone])


def _sides(
    pictures: ImageSet, groups: Sequence[tuple[int, ...]], shares: dict[str, float], seed: int
) -> list[str]:
    """Fill each split's fraction of each label with whole groups, in the order of their hashes."""
    sides = [""] * len(pictures)
    fixed = {p.split for p in pictures.pictures} & set(shares)
    drawn = [side for side in shares if side not in fixed]
    free: dict[int, list[tuple[bytes, tuple[int, ...]]]] = {}
    for group in groups:
        members = [pictures.pictures[i] for i in group]
        kept = next((side for side in shares if any(p.split == side for p in members)), "")
        if kept:
            for index in group:
                sides[index] = kept
        else:
            free.setdefault(members[0].label, []).append((_draw(seed, members[0]), group))
    for heap in free.values():
        wanted = {side: _count(shares[side], sum(len(g) for _, g in heap)) for side in drawn}
        for _, group in sorted(heap):
            side = next((s for s in drawn if wanted[s] >= len(group)), "train")
            if side in wanted:
                wanted[side] -= len(group)
            for index in group:
                sides[index] = side
    return sides


def _draw(seed: int, picture: LabelledImage) -> bytes:
    return hashlib.sha256(f"{seed}/{picture.name}".encode()).digest()


def _count(share: float, total: int) -> int:
    return max(1, int(share * total + 0.5)) if share else 0


def _check(division: Division, shares: dict[str, float]) -> None:
    for side, row in division.counts().items():
        for label, count in row.items():
            if not count and (side == "train" or shares[side]):
                raise UserError(
                    f"no images of {label!r} left for {side}/ out of "
                    f"{division.pictures.counts()[label]}; expected more images of it, or other "
                    "shares"
                )


def _free(folder: PurePath, picture: LabelledImage, taken: set[PurePath]) -> PurePath:
    """Return a file name that is unique in its folder, also on case-insensitive file systems."""
    stem, suffix = os.path.splitext(picture.name.replace(":", "/").rpartition("/")[2])  # noqa: PTH122
    name, number = f"{stem}{suffix}", 1
    while folder / name.lower() in taken:
        number += 1
        name = f"{stem}-{number}{suffix}"
    taken.add(folder / name.lower())
    return folder / name


def _put(picture: LabelledImage, place: Path, *, link: bool) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if link:
        place.symlink_to(picture.path.resolve())
    else:
        place.write_bytes(picture.read())
