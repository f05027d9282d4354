"""The class folder and the split of every image in a source."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from edgecat.data.sources import Entry, folder_entries, printable, tar_entries
from edgecat.data.tree import Tree, split_of
from edgecat.data.webdataset import CLASSES, INDEX, class_numbers, expanded, key_of
from edgecat_runtime.errors import UserError
from edgecat_runtime.images import IMAGE_SUFFIXES

_FLAT = re.compile(r"(\D*[^\W\d_])\.\d+\.\w+")  # cat.0.jpg
_IMAGES = frozenset(IMAGE_SUFFIXES) | frozenset(
    ".heic .heif .avif .jxl .jp2 .gif .svg .psd .dng .cr2 .nef .arw .mp4 .mov .avi .mkv .zip .tar "
    ".gz .tgz .rar .7z".split()
)


class Found(NamedTuple):
    """An image whose label has no index yet."""

    name: str
    label: str
    path: Path
    offset: int
    size: int
    split: str
    inside: str


class _Placed(NamedTuple):
    """An entry of a source, its split, its other folders, and why it is not an image."""

    entry: Entry
    split: str
    folders: tuple[str, ...]
    problem: str


@dataclass(frozen=True)
class Source:
    """One folder or tar; `prefix` and an entry's parts make an image's name.

    `numbered` holds the classes of a tar in WebDataset's layout, by `key_of` their images.
    """

    prefix: str
    placed: tuple[_Placed, ...]
    numbered: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def class_folders(self) -> frozenset[tuple[str, ...]]:
        """The class folders, without the split level."""
        return Tree(self._holding).class_folders()

    def labelled(
        self, skipped: list[str], *, labels: Collection[str] | None = None
    ) -> Iterator[Found]:
        """Yield each image; append to `skipped` why other files were skipped.

        Args:
            skipped: receives one message per skipped file.
            labels: known class names: the topmost folder among them is an image's class.
        """
        classes = self.class_folders
        flat = {} if classes or self.numbered else self._flat()
        for number, (entry, part, folders, problem) in enumerate(self.placed):
            if entry.is_folder:
                continue
            inside = "/".join(entry.parts)
            name = self.prefix + inside
            label = next((way[-1] for way in _ways(folders) if way in classes), "")
            if labels is not None:
                label = next((folder for folder in folders if folder in labels), label)
            label = self.numbered.get(key_of(inside), label or flat.get(number, ""))
            if problem and key_of(inside) in self.numbered and entry.size:
                continue  # another WebDataset file of the same sample
            if problem or not label:
                skipped.append(f"{name} {problem or 'is not in a class folder'}")
            else:
                yield Found(name, label, entry.path, entry.offset, entry.size, part, inside)

    def empty_folders(self) -> tuple[set[str], set[str]]:
        """Name the folders beside class folders that contain no images at any depth.

        Returns:
            Those that are empty or contain unsupported image files, and the others.
        """
        classes = self.class_folders
        beside = {folders[:-1] for folders in classes}
        above = {way for folders in self._holding for way in _ways(folders)}
        empty = {
            item.folders
            for item in self.placed
            if item.entry.is_folder
            and item.folders
            and item.folders[:-1] in beside
            and item.folders not in above
        }
        files = [item for item in self.placed if not item.entry.is_folder]
        filled = {way for item in files for way in _ways(item.folders)}
        meant = {
            way for item in files if _suffix(item.entry) in _IMAGES for way in _ways(item.folders)
        }
        faulty = {way[-1] for way in empty if way in meant or way not in filled}
        return faulty, {way[-1] for way in empty} - faulty

    def ambiguous(self) -> str:
        """Return a class folder that may be a split instead; empty if there is none."""
        classes = self.class_folders
        return min((way[-1] for way in classes & self._holding if split_of(way[-1])), default="")

    def note(self) -> str:
        """Say which folders inside class folders are ignored; empty if there are none."""
        classes = self.class_folders
        below = {
            (way, folders[len(way)])
            for folders in self._holding
            for way in _ways(folders)
            if way in classes and len(folders) > len(way)
        }
        counts = Counter(way for way, _ in below)
        split_up = {way for way, count in counts.items() if count > 1}
        if len(split_up) < 2:
            return ""
        names = sorted({name for way, name in below if way in split_up})
        listed = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
        return (
            f"{self.prefix[:-1]}: its top folders are the classes "
            f"({', '.join(sorted(way[-1] for way in classes))}); the folders inside them ({listed})"
            " are not classes. To train on those, pass the top folders one by one"
        )

    @cached_property
    def _holding(self) -> set[tuple[str, ...]]:
        """Collect the folders that directly contain images."""
        return {
            item.folders
            for item in self.placed
            if item.folders and not item.entry.is_folder and not item.problem
        }

    def _flat(self) -> dict[int, str]:
        """Return labels from names such as cat.0.jpg, if all images have them, by position."""
        images = [
            (number, item.entry.parts[-1])
            for number, item in enumerate(self.placed)
            if not (item.entry.is_folder or item.problem)
        ]
        found = {number: _FLAT.fullmatch(name) for number, name in images}
        labels = {number: match[1] for number, match in found.items() if match}
        return labels if len(labels) == len(images) and len(set(labels.values())) > 1 else {}


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
    """Separate each entry's folders from its split; `above` is the given folder's own name."""
    entries = list(entries)
    given = split_of(above[0]) if above else ""
    problems = [_problem(entry) for entry in entries]
    tree = Tree(
        entry.parts[:-1]
        for entry, problem in zip(entries, problems, strict=True)
        if not (entry.is_folder or problem)
    )
    placed: list[_Placed] = []
    known: dict[tuple[str, ...], tuple[str, tuple[str, ...]]] = {(): (given, ())}
    for entry, problem in zip(entries, problems, strict=True):
        folders = entry.parts if entry.is_folder else entry.parts[:-1]
        if folders not in known:
            level = tree.split_level(folders)
            part = given if level is None else tree.split_name(folders[: level + 1])
            rest = folders if level is None else folders[:level] + folders[level + 1 :]
            known[folders] = part, rest
        placed.append(_Placed(entry, *known[folders], problem))
    return Source(prefix, tuple(placed), _numbered(placed))


def _numbered(placed: Iterable[_Placed]) -> dict[str, str]:
    """Read the classes of a tar in WebDataset's layout; empty for other sources."""
    files = [item.entry for item in placed if item.entry.parts[-1].endswith(".cls")]
    places = [("/".join(entry.parts), entry.offset, entry.size) for entry in files if entry.offset]
    return class_numbers(files[0].path, places) if places else {}


def _ways(folders: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    return (folders[:depth] for depth in range(1, len(folders) + 1))


def _beside(entry: Entry, tars: list[Entry]) -> bool:
    """Whether an entry is a tar directly in a given folder, or a WebDataset file beside it."""
    return _is_tar(entry) or (bool(tars) and entry.parts in ((CLASSES,), (INDEX,)))


def _is_tar(entry: Entry) -> bool:
    """Whether an entry is a tar directly in a given folder."""
    return len(entry.parts) == 1 and entry.size > 0 and entry.path.suffix.lower() == ".tar"


def _problem(entry: Entry) -> str:
    if entry.problem:
        return entry.problem
    suffix = _suffix(entry)
    if suffix not in IMAGE_SUFFIXES:
        return f"is not an image (suffix {suffix or 'missing'})"
    return "" if entry.size else "is empty (0 bytes)"


def _suffix(entry: Entry) -> str:
    return os.path.splitext(entry.parts[-1])[1].lower()  # noqa: PTH122 - a Path costs 20 times
