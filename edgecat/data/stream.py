"""Shards too numerous to scan: `index.json` alone says how many images each of them holds.

`edgecat data shard` writes it, and so does WebDataset's `widsindex`. A shard is opened when its
turn comes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np

from edgecat.data.folder import ImageSet, LabelledImage, scan
from edgecat.data.tree import split_of
from edgecat.data.webdataset import CLASSES, INDEX, class_names, expanded
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.class_names import check_labels
from edgecat_runtime.system.counting import number_of


@dataclass(frozen=True)
class Shard:
    """One tar file of `pictures` images."""

    path: Path
    pictures: int

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def split(self) -> str:
        """From the part of the name before the number: `val-000000.tar` is for validation."""
        return split_of(self.path.stem.rpartition("-")[0])


@dataclass(frozen=True)
class ShardSet:
    """Labelled images in shards that have not been opened."""

    labels: tuple[str, ...]
    shards: tuple[Shard, ...]
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Count the images."""
        return sum(shard.pictures for shard in self.shards)

    def __str__(self) -> str:
        """Sum up: `1,281,167 images, streamed from 1,282 shards`."""
        shards = number_of(len(self.shards), "shard")
        return f"{number_of(len(self), 'image')}, streamed from {shards}"

    def keys(self) -> Iterator[str]:
        """Keys that are equal for two sets of the same images."""
        for shard in self.shards:
            yield f"{shard.name}\0{shard.path.stat().st_size}\0{shard.pictures}\0"

    def reader(self, order: Sequence[int]) -> ShardReader:
        """Read the shards in the given order."""
        return ShardReader(self, order)


class ShardReader:
    """The images of shards, one shard after another, as one long sequence."""

    def __init__(self, shards: ShardSet, order: Sequence[int]) -> None:
        """Read `shards` in `order`, a permutation of their indices."""
        self._shards, self._order = shards, order
        counts = [shard.pictures for shard in shards.shards]
        self._numbers = [0, *accumulate(counts)]
        self._begins = np.array([0, *accumulate(counts[index] for index in order)])
        self._open: dict[int, tuple[LabelledImage, ...]] = {}

    def read(self, begin: int, end: int) -> list[tuple[int, LabelledImage]]:
        """Find the images at `begin` .. `end` - 1 of the sequence, and start reading them ahead.

        Returns:
            Each image's number in the set, which does not depend on the order, and its place.

        Raises:
            UserError: a shard is missing, damaged, or differs from `index.json`.
        """
        first, last = np.searchsorted(self._begins, (begin, end - 1), side="right") - 1
        turns = range(int(first), int(last) + 1)
        self._open = {turn: self._open.get(turn) or self._scanned(turn) for turn in turns}
        found = []
        for turn, pictures in self._open.items():
            offset = int(self._begins[turn])
            inside = range(max(begin - offset, 0), min(end - offset, len(pictures)))
            number = self._numbers[self._order[turn]]
            found += [(number + index, pictures[index]) for index in inside]
            _fetch(pictures[inside.start : inside.stop])
        return found

    def _scanned(self, turn: int) -> tuple[LabelledImage, ...]:
        shard = self._shards.shards[self._order[turn]]
        pictures = scan(shard.path, labels=self._shards.labels).pictures
        if len(pictures) != shard.pictures:
            raise UserError(
                f"{shard.path} holds {number_of(len(pictures), 'image')}; {INDEX} says "
                f"{shard.pictures}. Write the shards again with edgecat data shard"
            )
        return pictures


def find_shards(paths: Iterable[str | Path]) -> tuple[ShardSet, ImageSet]:
    """Find shards to train on, unopened, and the images of those to validate on.

    Args:
        paths: folders that contain `index.json`, or shards in these folders.

    Raises:
        UserError: no index or no `classes.txt`, a shard that is missing or not listed, different
            classes in different folders, or no shards to train or to validate on.
    """
    shards: dict[Path, Shard] = {}
    named: dict[Path, tuple[str, ...]] = {}
    for path in expanded(paths):
        if not path.exists():
            raise UserError(f"{path} does not exist; expected a folder of shards, or a shard")
        folder = path if path.is_dir() else path.parent
        listed = _listed(folder)
        if path != folder and path.resolve() not in listed:
            raise UserError(
                f"{path} is not listed in {folder / INDEX}; expected a shard listed there"
            )
        shards |= listed if path == folder else {path.resolve(): listed[path.resolve()]}
        named[folder] = class_names(folder)
    labels = _agreed(named)
    check_labels(labels, CLASSES)
    training = tuple(shard for shard in shards.values() if shard.split in ("", "train"))
    validation = [shard.path for shard in shards.values() if shard.split == "val"]
    for kind, some in (("train", training), ("validate", validation)):
        if not some:
            raise UserError(
                f"no shards to {kind} on in {', '.join(map(str, named)) or 'nothing'}; expected "
                "shard-*.tar or train-*.tar, and val-*.tar. Divide the images with edgecat data "
                "split, then pack them with edgecat data shard"
            )
    return ShardSet(labels, training), scan(validation, labels=labels)


def _listed(folder: Path) -> dict[Path, Shard]:
    """Read a folder's index."""
    path = folder / INDEX
    try:
        entries = json.loads(path.read_text("utf-8"))["shardlist"]
        shards = [Shard((folder / e["url"]).resolve(), int(e["nsamples"])) for e in entries]
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"{type(error).__name__} {error}"
        raise UserError(
            f"cannot read {path} ({reason}); --stream needs it. Give a folder written by edgecat "
            "data shard, or leave out --stream"
        ) from error
    for shard in shards:
        if not shard.path.is_file():
            raise UserError(f"{shard.path} is missing, but {path} lists it. Copy it again")
    return {shard.path: shard for shard in shards if shard.pictures}


def _agreed(named: dict[Path, tuple[str, ...]]) -> tuple[str, ...]:
    for folder, labels in named.items():
        if not labels or labels != next(iter(named.values())):
            raise UserError(
                f"{folder / CLASSES} names {', '.join(labels) or 'no classes'}; expected the same "
                "classes, one per line, in every folder of shards"
            )
    return next(iter(named.values()), ())


def _fetch(pictures: Sequence[LabelledImage]) -> None:
    """Ask the system to read images ahead, in order, before they are needed in random order.

    Without this call, systems read them when they are decoded.
    """
    if not (pictures and hasattr(os, "posix_fadvise")):
        return
    with pictures[0].path.open("rb") as file:
        for picture in pictures:
            os.posix_fadvise(file.fileno(), picture.offset, picture.size, os.POSIX_FADV_WILLNEED)
