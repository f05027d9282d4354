"""Video files and images."""

from __future__ import annotations

import codecs
import glob
import logging
import os
import re
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edgecat_runtime.camera.source import NO_OPTIONS, SOURCES, Shot, Source, SourceOptions
from edgecat_runtime.camera.sources.capture import stated_fps
from edgecat_runtime.errors import UserError
from edgecat_runtime.images import PICTURE_SUFFIXES, PictureError, read_picture
from edgecat_runtime.system.opencv import cv2_module
from edgecat_runtime.system.quiet import suppress_stderr

log = logging.getLogger("edgecat_runtime")

_TEXT_PROBE = 4096


class VideoFile(Source):
    """A video file, frame by frame."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._capture = _open_video(path)
        self._count = 0
        self.fps = stated_fps(self._capture)

    def read(self) -> Shot | None:
        """Decode the next frame; raises UserError if not even the first can be decoded."""
        there, image = self._capture.read()
        self._count += there
        if there:
            return Shot(image)
        if not self._count:
            raise UserError(f"{self.name} contains no decodable frame. Copy it again")
        return None

    def close(self) -> None:
        """Close the file."""
        self._capture.release()


class Pictures(Source):
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
                return Shot(read_picture(path), str(path))
            except PictureError as error:
                self._skip(error)
        return None

    def _skip(self, error: PictureError) -> None:
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
        options.refuse(text, "width", "height", "fps", instead="a file has its own size and rate")
    except UserError:
        source.close()
        raise
    return Realtime(source) if options.realtime else source


def _open_file(text: str) -> Source:
    path = Path(text)
    if path.is_dir():
        found = (Path(root) / file for root, _, files in os.walk(path) for file in files)
        return _open_pictures(found, f"the folder {text}")
    if not path.exists():
        if re.search(r"[*?\[]", text):
            found = (Path(file) for file in glob.glob(text, recursive=True))  # noqa: PTH207
            return _open_pictures(found, f"the pattern {text}")
        raise UserError(f"source {text} does not exist; expected {SOURCES}. Check the path")
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return Pictures([path], text)
    return VideoFile(path)


def _open_pictures(found: Iterator[Path], name: str) -> Pictures:
    paths = sorted((path for path in found if _is_picture(path)), key=natural_key)
    if not paths:
        raise UserError(
            f"{name} contains no images; expected {' '.join(PICTURE_SUFFIXES)}. Check the path"
        )
    return Pictures(paths, name)


def _is_picture(path: Path) -> bool:
    hidden = path.name.startswith(".")  # ._cat.jpg is macOS metadata of cat.jpg
    return path.suffix.lower() in PICTURE_SUFFIXES and path.is_file() and not hidden


def natural_key(path: Path) -> list[tuple[int, str]]:
    """Natural sort key: frame_2 comes before frame_10."""
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _open_video(path: Path) -> Any:
    """Open a video file; text files are rejected, since FFmpeg would render them as video."""
    cv2 = cv2_module()
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UserError(f"{path} is not a regular file; expected a video file")
        with path.open("rb") as file:
            head = file.read(_TEXT_PROBE)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}. Check the path") from error
    capture = None
    if not _is_text(head):
        with suppress_stderr():
            capture = cv2.VideoCapture(str(path))
    if capture is None or not capture.isOpened():
        raise UserError(
            f"{path} is {'empty' if not head else 'not a video that OpenCV can read'}; expected a "
            f"video file (.mkv .mp4 .avi .webm ...) or an image ({' '.join(PICTURE_SUFFIXES)})"
        )
    return capture


def _is_text(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return b"\0" not in head
