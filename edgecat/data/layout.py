"""What lies where in a source: the class folder and the split of every picture."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from edgecat.data.sources import Entry, folder_entries, printable, tar_entries
from edgecat_runtime.errors import UserError
from edgecat_runtime.pictures import PICTURE_SUFFIXES

SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


class Found(NamedTuple):
    """A picture whose label has no number yet."""

    name: str
    label: str
    path: Path
    offset: int
    size: int
    split: str


class _Placed(NamedTuple):
    """An entry of a source, the split it lies under and its folders below that level."""

    entry: Entry
    split: str
    folders: tuple[str, ...]
    problem: str


@dataclass(frozen=True)
class Source:
    """One folder or tar; `prefix` and an entry's parts make a picture's name."""

    prefix: str
    placed: tuple[_Placed, ...]

    def labelled(self, skipped: list[str]) -> Iterator[Found]:
        """Yield each picture; say in `skipped` why other files are none."""
        holding = self._holding()
        for entry, part, folders, problem in self.placed:
            if entry.is_folder:
                continue
            name = self.prefix + "/".join(entry.parts)
            label = next((way[-1] for way in _ways(folders) if (part, way) in holding), "")
            if problem or not label:
                skipped.append(f"{name} {problem or 'lies in no class folder'}")
            else:
                yield Found(name, label, entry.path, entry.offset, entry.size, part)

    def empty_folders(self) -> set[str]:
        """Name the folders beside class folders that hold no picture, at whatever depth."""
        holding = self._holding()
        beside = {(part, folders[:-1]) for part, folders in holding}
        above = {(part, way) for part, folders in holding for way in _ways(folders)}
        return {
            item.folders[-1]
            for item in self.placed
            if item.entry.is_folder
            and item.folders
            and (item.split, item.folders[:-1]) in beside
            and (item.split, item.folders) not in above
        }

    def _holding(self) -> set[tuple[str, tuple[str, ...]]]:
        """Collect the folders, with their split, that directly hold pictures."""
        return {
            (item.split, item.folders)
            for item in self.placed
            if item.folders and not item.entry.is_folder and not item.problem
        }


def sources(given: Iterable[str | Path]) -> Iterator[Source]:
    """Open each path as a source; a folder is followed by the tars directly inside it.

    Raises:
        UserError: A path does not exist or cannot be read as a folder or tar.
    """
    for path in map(Path, given):
        if not path.exists():
            raise UserError(f"{path} does not exist; expected a folder or a .tar file")
        if not path.is_dir():
            yield _source(printable(path.name) + ":", (), tar_entries(path.resolve()))
            continue
        root = path.resolve()
        entries = list(folder_entries(root))
        name = printable(root.name)
        yield _source(name + "/", (name,), (e for e in entries if not _is_tar(e)))
        for entry in filter(_is_tar, entries):
            yield _source(entry.parts[0] + ":", (), tar_entries(entry.path))


def _source(prefix: str, above: tuple[str, ...], entries: Iterable[Entry]) -> Source:
    """Part each entry's folders from its split; `above` is the given folder's own name."""
    placed = []
    for entry in entries:
        folders = entry.parts if entry.is_folder else entry.parts[:-1]
        part = SPLIT_NAMES.get(above[0].lower(), "") if above else ""
        for depth, folder in enumerate(folders):
            if folder.lower() in SPLIT_NAMES:
                part, folders = SPLIT_NAMES[folder.lower()], folders[depth + 1 :]
                break
        placed.append(_Placed(entry, part, folders, _problem(entry)))
    return Source(prefix, tuple(placed))


def _ways(folders: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    return (folders[:depth] for depth in range(1, len(folders) + 1))


def _is_tar(entry: Entry) -> bool:
    """Tell a tar that lies directly in a given folder."""
    return len(entry.parts) == 1 and entry.size > 0 and entry.path.suffix.lower() == ".tar"


def _problem(entry: Entry) -> str:
    if entry.problem:
        return entry.problem
    suffix = os.path.splitext(entry.parts[-1])[1].lower()  # noqa: PTH122 - a Path costs 20 times
    if suffix not in PICTURE_SUFFIXES:
        return f"is no picture (suffix {suffix or 'missing'})"
    return "" if entry.size else "is empty (0 bytes)"
