"""What lies where in a source: the class folder and the split of every picture."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from edgecat.data.sources import Entry, folder_entries, printable, tar_entries
from edgecat.data.webdataset import CLASSES, INDEX, class_numbers, expanded, key_of
from edgecat_runtime.errors import UserError
from edgecat_runtime.images import PICTURE_SUFFIXES

SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


class Found(NamedTuple):
    """A picture whose label has no number yet."""

    name: str
    label: str
    path: Path
    offset: int
    size: int
    split: str
    inside: str


class _Placed(NamedTuple):
    """An entry of a source, the split it lies under and its folders below that level."""

    entry: Entry
    split: str
    folders: tuple[str, ...]
    problem: str


@dataclass(frozen=True)
class Source:
    """One folder or tar; `prefix` and an entry's parts make a picture's name.

    `numbered` holds the classes of a tar in WebDataset's layout, by `key_of` their pictures.
    """

    prefix: str
    placed: tuple[_Placed, ...]
    numbered: Mapping[str, str] = field(default_factory=dict)

    def labelled(self, skipped: list[str]) -> Iterator[Found]:
        """Yield each picture; say in `skipped` why other files are none."""
        holding = self._holding()
        for entry, part, folders, problem in self.placed:
            if entry.is_folder:
                continue
            inside = "/".join(entry.parts)
            name = self.prefix + inside
            label = next((way[-1] for way in _ways(folders) if (part, way) in holding), "")
            label = self.numbered.get(key_of(inside), label)
            if problem and key_of(inside) in self.numbered and entry.size:
                continue  # what else WebDataset keeps of a picture
            if problem or not label:
                skipped.append(f"{name} {problem or 'lies in no class folder'}")
            else:
                yield Found(name, label, entry.path, entry.offset, entry.size, part, inside)

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
    for path in expanded(given):
        if not path.exists():
            raise UserError(f"{path} does not exist; expected a folder or a .tar file")
        if not path.is_dir():
            yield _source(printable(path.name) + ":", (), tar_entries(path.resolve()))
            continue
        root = path.resolve()
        entries = list(folder_entries(root))
        name = printable(root.name)
        tars = [entry for entry in entries if _is_tar(entry)]
        yield _source(name + "/", (name,), (e for e in entries if not _beside(e, tars)))
        for entry in tars:
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
    return Source(prefix, tuple(placed), _numbered(placed))


def _numbered(placed: Iterable[_Placed]) -> dict[str, str]:
    """Read the classes of a tar in WebDataset's layout; empty for other sources."""
    files = [item.entry for item in placed if item.entry.parts[-1].endswith(".cls")]
    places = [("/".join(entry.parts), entry.offset, entry.size) for entry in files if entry.offset]
    return class_numbers(files[0].path, places) if places else {}


def _ways(folders: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    return (folders[:depth] for depth in range(1, len(folders) + 1))


def _beside(entry: Entry, tars: list[Entry]) -> bool:
    """Tell tars, and what WebDataset writes beside them, in a given folder."""
    return _is_tar(entry) or (bool(tars) and entry.parts in ((CLASSES,), (INDEX,)))


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
