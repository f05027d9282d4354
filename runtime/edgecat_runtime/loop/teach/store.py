"""Captured images: ordinary class folders, and a log of when and from where each one came.

    photos/mug/0007-20260131T120000.120Z.jpg     what is trained on
    photos/val/mug/0031-20260131T120450.480Z.jpg  what is held out, by whole bursts
    photos/.edgecat/log.jsonl

The folders are the truth, and `edgecat train photos/` takes them as they are; the log adds where an
image came from, and classes that have no image yet.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import RLock
from typing import Any, Protocol

from edgecat_runtime.errors import UserError
from edgecat_runtime.loop.teach.bursts import bursts_of, held_out
from edgecat_runtime.loop.teach.captures import (
    HELD,
    Capture,
    checked_class,
    file_name,
    images_in,
    number_of,
    time_of,
)
from edgecat_runtime.loop.teach.journal import Journal
from edgecat_runtime.system.atomic import atomic_write, write_error
from edgecat_runtime.system.opencv import cv2_module
from edgecat_runtime.types import Image

NONE = "none"
"""The class folder of images that show none of the other classes."""
HIDDEN = ".edgecat"
QUALITY = 95
MOST_CLASSES = 10

_COMPARED = 100


class Likeness(Protocol):
    """Tells near-duplicates: the fingerprints of `edgecat.curation`, where they are installed."""

    def print(self, image: Image) -> Any:
        """The fingerprint of an image, uint8 (h, w, 3) BGR."""

    def alike(self, one: Any, others: Sequence[Any]) -> bool:
        """Whether a fingerprint is that of a near-duplicate of one of the others."""


class Store:
    """The folder of captured images. Its methods may be called from any thread.

    Args:
        folder: parent of the class folders; created with the first image. Images that are there
            already are taken in.
        likeness: tells near-duplicates; None: they are not told.
        split_of: whether a name stands for a split, such as `test`, and so for no class.

    Attributes:
        folder: likewise.
        journal: the log.
        version: counts the changes.

    Raises:
        UserError: the folder cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        *,
        likeness: Likeness | None = None,
        split_of: Callable[[str], str] = lambda name: HELD if name == HELD else "",
    ) -> None:
        self.folder = folder
        self.journal = Journal(folder / HIDDEN / "log.jsonl")
        self.version = 0
        self._likeness, self._split_of = likeness, split_of
        self._lock = RLock()
        self._classes: list[str] = []
        self._captures: dict[str, Capture] = {}
        self._prints: dict[str, Any] = {}
        self._read()
        self._number = max((number_of(one.file) for one in self._captures.values()), default=0)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, in the order in which they were added; `none` is last."""
        with self._lock:
            named = [name for name in self._classes if name != NONE]
            return (*named, *([NONE] if NONE in self._classes else []))

    def captures(self) -> list[Capture]:
        """All images, in the order of time."""
        with self._lock:
            return sorted(self._captures.values(), key=lambda one: (one.time, one.file))

    def path(self, key: str) -> Path:
        """The file of an image.

        Raises:
            UserError: there is no such image.
        """
        with self._lock:
            if key not in self._captures:
                raise UserError(f"there is no image {key!r}. Reload the page")
            return self._captures[key].path(self.folder)

    def add_class(self, name: str) -> str:
        """Add a class, or return the one of this name.

        Raises:
            UserError: it cannot be the name of a class folder, there are too many classes, or the
                log cannot be written.
        """
        name = checked_class(name, self._split_of)
        with self._lock:
            same = [each for each in self._classes if each.casefold() == name.casefold()]
            if same:
                return same[0]
            if name != NONE and len(set(self._classes) - {NONE}) >= MOST_CLASSES:
                raise UserError(f"there are {MOST_CLASSES} classes, the maximum")
            self.journal.append("class", label=name)
            self._classes.append(name)
            self.version += 1
        return name

    def remove_class(self, name: str) -> None:
        """Remove a class that has no image.

        Raises:
            UserError: there is no such class, it has images, or the log cannot be written.
        """
        with self._lock:
            self._check_label(name)
            count = sum(one.label == name for one in self._captures.values())
            if count:
                raise UserError(f"{name!r} has {count} images. Delete or move them first")
            self.journal.append("class removed", label=name)
            self._classes.remove(name)
            for folder in (self.folder / name, self.folder / HELD / name):
                with suppress(OSError):
                    folder.rmdir()
            self.version += 1

    def add(self, image: Image, label: str, *, source: str) -> Capture:
        """Keep an image as JPEG.

        Args:
            image: uint8 (h, w, 3), BGR.
            label: one of the classes.
            source: where it came from, for the log.

        Raises:
            UserError: no such class, or it cannot be written, such as on a full disk.
        """
        cv2 = cv2_module()
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        now = round(time.time(), 3)  # as the name says it
        with self._lock:
            self._check_label(label)
            alike = self._is_alike(image, label)
            self._number += 1
            file = file_name(self._number, now)
            capture = Capture(label, file, now, source=source, alike=alike)
            atomic_write(capture.path(self.folder), bytes(data))
            self._captures[capture.key] = capture
            self.version += 1
            where = {"file": capture.key, "source": source}
            self.journal.append("captured", **where, **({"alike": True} if alike else {}))
        return capture

    def delete(self, keys: Sequence[str]) -> None:
        """Delete images; those that are gone already are left out.

        Raises:
            UserError: one cannot be deleted, or the log cannot be written.
        """
        with self._lock:
            for capture in self._those(keys):
                path = capture.path(self.folder)
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    raise write_error(path, error) from error
                del self._captures[capture.key]
                self.version += 1
                self.journal.append("deleted", file=capture.key)

    def move(self, keys: Sequence[str], label: str) -> None:
        """Move images to another class; those that are gone already are left out.

        Raises:
            UserError: no such class, or one cannot be moved.
        """
        with self._lock:
            self._check_label(label)
            for capture in self._those(keys):
                if capture.label != label:
                    moved = self._free(capture, replace(capture, label=label, alike=False))
                    self._rename(capture, moved)
                    self.journal.append("moved", file=moved.key, was=capture.key)

    def divide(self) -> None:
        """Hold out whole bursts of each class, the latest ones; call it between bursts.

        Nothing is held out until every class has a burst to spare, since it would then be judged on
        the other classes alone. Files that were not captured here stay where they are.

        Raises:
            UserError: a file cannot be moved.
        """
        with self._lock:
            chosen = {label: self._to_hold(label) for label in self._classes}
            filled = [keys for keys in chosen.values() if keys is not None]
            wanted = set().union(*filled) if filled and all(filled) else set()
            own = [one for one in self._captures.values() if number_of(one.file)]
            for capture in own:
                if capture.held != (capture.key in wanted):
                    moved = replace(capture, held=not capture.held)
                    self._rename(capture, self._free(capture, moved))

    def _those(self, keys: Sequence[str]) -> list[Capture]:
        return [self._captures[key] for key in dict.fromkeys(keys) if key in self._captures]

    def _to_hold(self, label: str) -> set[str] | None:
        """What to hold out of a class; None if it has no images."""
        own = [one for one in self.captures() if one.label == label]
        if not own:
            return None
        bursts = bursts_of([one.time for one in own])
        held = held_out(bursts)
        return {one.key for one, burst in zip(own, bursts, strict=True) if burst in held}

    def _rename(self, capture: Capture, moved: Capture) -> None:
        path, target = capture.path(self.folder), moved.path(self.folder)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
        except OSError as error:
            raise write_error(target, error) from error
        with suppress(OSError):  # not empty
            path.parent.rmdir()
        del self._captures[capture.key]
        self._captures[moved.key] = moved
        self.version += 1

    def _free(self, capture: Capture, moved: Capture) -> Capture:
        """Give a moved image a file name that is free in its class."""
        stem, number = Path(capture.file).stem, 1
        while (
            self._captures.get(moved.key, capture) is not capture
            or moved.path(self.folder).exists()
        ):
            number += 1
            moved = replace(moved, file=f"{stem}-{number}{Path(capture.file).suffix}")
        return moved

    def _is_alike(self, image: Image, label: str) -> bool:
        """Whether an image is nearly the same as one of the latest of its class."""
        if self._likeness is None:
            return False
        prints = self._prints.setdefault(label, [])
        own = self._likeness.print(image)
        alike = self._likeness.alike(own, prints)
        prints.append(own)
        del prints[:-_COMPARED]
        return alike

    def _check_label(self, label: str) -> None:
        if label not in self._classes:
            raise UserError(f"there is no class {label!r}; expected {', '.join(self.classes)}")

    def _read(self) -> None:
        """Take in what the folder and the log have."""
        sources: dict[str, tuple[str, bool]] = {}
        for entry in self.journal:
            label, file = entry.get("label"), entry.get("file")
            if entry["event"] == "class" and isinstance(label, str) and label not in self._classes:
                self._classes.append(label)
            elif entry["event"] == "class removed" and label in self._classes:
                self._classes.remove(str(label))
            elif entry["event"] == "captured" and isinstance(file, str):
                sources[file] = str(entry.get("source", "")), bool(entry.get("alike"))
            elif entry["event"] == "moved" and entry.get("was") in sources:
                sources[str(file)] = sources[str(entry["was"])][0], False
        for held, parent in ((False, self.folder), (True, self.folder / HELD)):
            for path in images_in(parent, self._split_of):
                source, alike = sources.get(f"{path.parent.name}/{path.name}", ("", False))
                label = path.parent.name
                capture = Capture(label, path.name, time_of(path), held, source, alike)
                self._captures[capture.key] = capture
                if label not in self._classes:
                    self._classes.append(label)
