"""Video files and images."""

from __future__ import annotations

import glob
import logging
import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from edgecat_runtime.camera.redaction import redacted
from edgecat_runtime.camera.source import NO_OPTIONS, SOURCES, Shot, Source, SourceOptions
from edgecat_runtime.camera.sources.video import VideoFile
from edgecat_runtime.errors import UserError
from edgecat_runtime.images import IMAGE_SUFFIXES, ImageError, read_image
from edgecat_runtime.images.places import is_junk
from edgecat_runtime.system.paths import exists

log = logging.getLogger("edgecat_runtime")

_NUMBER = re.compile(r"%0?(\d*)d")


class ImageFiles(Source):
    """Image files, one after the other; broken ones are logged, skipped and counted."""

    stills = True
    fps = 2.0  # like a slide show

    def __init__(self, paths: Sequence[Path], name: str) -> None:
        self.name = name
        self._paths = paths
        self._next = 0

    def read(self) -> Shot | None:
        """Decode the next image; raises UserError if none of them can be decoded."""
        while self._next < len(self._paths):
            path = self._paths[self._next]
            self._next += 1
            try:
                return Shot(read_image(path), str(path))
            except ImageError as error:
                self._skip(error)
        return None

    def _skip(self, error: ImageError) -> None:
        self.skipped += 1
        if len(self._paths) == 1:
            raise error
        log.warning("skipped: %s", error)
        if self.skipped == len(self._paths):
            raise UserError(
                f"none of the {self.skipped} images of {self.name} can be read"
            ) from error


class Realtime(Source):
    """A file played at its own rate as if it were live: frames not read in time are lost."""

    live = True
    reopens = False

    def __init__(self, source: Source) -> None:
        self.name, self.stills = source.name, source.stills
        self.fps = source.fps or 25.0
        self._source = source
        self._due = 0.0

    def read(self) -> Shot | None:
        """Return the next frame when it is due; raises as the file does."""
        shot = self._source.read()
        self.skipped = self._source.skipped
        now = time.perf_counter()
        self._due = max(self._due + 1 / self.fps, now - 1 / self.fps) if self._due else now
        time.sleep(max(0.0, self._due - now))
        return shot

    def close(self) -> None:
        """Close the file."""
        self._source.close()


def open_file(text: str, options: SourceOptions = NO_OPTIONS) -> Source:
    """Open a video file, an image, a folder of images or a glob.

    Raises:
        UserError: the source does not exist or cannot be read, or a size or rate is requested.
    """
    source = _open_file(text)
    try:
        options.refuse(
            text,
            "width",
            "height",
            "fps",
            instead="a file has its own size and rate, which --realtime keeps to",
        )
    except UserError:
        source.close()
        raise
    return Realtime(source) if options.realtime else source


def has_files(text: str) -> bool:
    """Whether a text is the path of a file or folder, or a pattern of some."""
    return exists(text) or next(_matches(text) or iter(()), None) is not None


def open_file_address(text: str, options: SourceOptions) -> Source:
    """Open `file:///path`; raises as `open_file`."""
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost"):
        raise UserError(f"source {redacted(text)} is on another machine; expected file:///path")
    return open_file(unquote(parts.path), options)


def _open_file(text: str) -> Source:
    path = Path(text)
    if exists(path) and path.is_dir():
        return _open_images(_walk(path), f"the folder {text}")
    if not exists(path):
        if (matches := _matches(text)) is not None:
            return _open_images(matches, f"the pattern {text}")
        raise UserError(
            f"source {redacted(text)} does not exist; expected {SOURCES}. Check the path"
        )
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageFiles([path], text)
    return VideoFile(path)


def _matches(text: str) -> Iterator[Path] | None:
    """The files of a pattern, `*.png` or FFmpeg's `img_%03d.png`; None if it is none."""
    if re.search(r"[*?\[]", text):
        return (Path(file) for file in glob.iglob(text, recursive=True))  # noqa: PTH207
    path = Path(text)
    if (number := _NUMBER.search(path.name)) is None or not exists(path.parent):
        return None
    before, after = path.name[: number.start()], path.name[number.end() :]
    digits = rf"\d{{{number[1] or 1},}}"
    numbered = re.compile(f"{re.escape(before)}{digits}{re.escape(after)}")
    return (file for file in path.parent.glob("*") if numbered.fullmatch(file.name))


def _open_images(found: Iterator[Path], name: str) -> ImageFiles:
    paths = sorted((path for path in found if _is_picture(path)), key=natural_key)
    if not paths:
        raise UserError(
            f"{name} contains no images; expected {' '.join(IMAGE_SUFFIXES)}. Check the path"
        )
    return ImageFiles(paths, name)


def _is_picture(path: Path) -> bool:
    suits = path.suffix.lower() in IMAGE_SUFFIXES and not is_junk(path.name)
    return suits and path.is_file()


def _walk(folder: Path) -> Iterator[Path]:
    """Every file below a folder, but not in trash, thumbnail and hidden folders."""
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not is_junk(name)]
        yield from (Path(root) / name for name in files)


def natural_key(path: Path) -> list[tuple[int, str]]:
    """Natural sort key: frame_2 comes before frame_10."""
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
