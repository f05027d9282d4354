"""The sources that OpenCV opens: webcams, video files and pictures."""

from __future__ import annotations

import codecs
import glob
import logging
import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edgecat_runtime.camera import SOURCES, Shot, Source
from edgecat_runtime.errors import DeviceError, UserError
from edgecat_runtime.opencv import cv2_module
from edgecat_runtime.pictures import PICTURE_SUFFIXES, PictureError, read_picture
from edgecat_runtime.quiet import quiet_stderr

log = logging.getLogger("edgecat_runtime")

_TEXT_PROBE = 4096


class Webcam(Source):
    """A camera of the machine, through the operating system's own driver interface."""

    live = True

    def __init__(self, capture: Any, name: str) -> None:
        self.name = name
        self.fps = _stated_fps(capture)
        self._capture = capture

    def read(self) -> Shot | None:
        """Wait for the next frame; raises DeviceError when the camera gives none any more."""
        there, image = self._capture.read()
        if not there:
            raise DeviceError(f"{self.name} gives no more frames. Was it unplugged?")
        return Shot(image)

    def close(self) -> None:
        """Let the camera go."""
        self._capture.release()


class VideoFile(Source):
    """A video file, frame by frame."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._capture = _open_video(path)
        self._count = 0
        self.fps = _stated_fps(self._capture)

    def read(self) -> Shot | None:
        """Decode the next frame; raises UserError where there is not even a first one."""
        there, image = self._capture.read()
        self._count += there
        if there:
            return Shot(image)
        if not self._count:
            raise UserError(f"{self.name} holds no frame that can be decoded. Copy it again")
        return None

    def close(self) -> None:
        """Close the file."""
        self._capture.release()


class Pictures(Source):
    """Picture files, one after the other; broken ones are named, skipped and counted."""

    stills = True
    fps = 2.0  # as a slide show

    def __init__(self, paths: Sequence[Path], name: str) -> None:
        self.name = name
        self._paths = paths
        self._next = 0

    def read(self) -> Shot | None:
        """Decode the next picture; raises UserError when not one of them could be."""
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
                f"not one of the {self.skipped} pictures of {self.name} can be read"
            ) from error


def open_webcam(text: str) -> Webcam:
    """Open a camera by its number or its device file.

    Raises:
        DeviceError: there is no such camera, or it is busy, forbidden or no camera at all.
    """
    path = Path(f"/dev/video{text}" if text.isdigit() else text)
    on_linux = sys.platform.startswith("linux")
    name = f"camera {path}" if on_linux else f"camera {text}"
    if on_linux and not path.exists():
        raise DeviceError(f"there is no {name}; {_cameras_found()}")
    if on_linux and not os.access(path, os.R_OK | os.W_OK):
        raise DeviceError(f"{name} may not be opened by this user. Join its group, often `video`")
    cv2 = cv2_module()
    with quiet_stderr():
        if on_linux:  # by name, since OpenCV may else prefer GStreamer for a number
            capture = cv2.VideoCapture(str(path), cv2.CAP_V4L2)
        else:
            capture = cv2.VideoCapture(int(text) if text.isdigit() else text)
    if not capture.isOpened():
        raise DeviceError(
            f"{name} cannot be opened: it is no camera, or another program uses it; "
            f"{_cameras_found()}"
        )
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the driver's queue is a queue too
    return Webcam(capture, name)


def open_file(text: str) -> Source:
    """Open a video file, a picture, a folder of pictures or a glob.

    Raises:
        UserError: nothing is there, or nothing that can be read.
    """
    path = Path(text)
    if path.is_dir():
        found = (Path(root) / file for root, _, files in os.walk(path) for file in files)
        return _open_pictures(found, f"the folder {text}")
    if not path.exists():
        if re.search(r"[*?\[]", text):
            found = (Path(file) for file in glob.glob(text, recursive=True))  # noqa: PTH207
            return _open_pictures(found, f"the pattern {text}")
        raise UserError(f"there is no source {text}; expected {SOURCES}. Check the path")
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return Pictures([path], text)
    return VideoFile(path)


def _open_pictures(found: Iterator[Path], name: str) -> Pictures:
    paths = sorted((path for path in found if _is_picture(path)), key=_natural)
    if not paths:
        raise UserError(
            f"{name} holds no pictures; expected {' '.join(PICTURE_SUFFIXES)}. Check the path"
        )
    return Pictures(paths, name)


def _is_picture(path: Path) -> bool:
    hidden = path.name.startswith(".")  # ._cat.jpg is a Mac's note about cat.jpg
    return path.suffix.lower() in PICTURE_SUFFIXES and path.is_file() and not hidden


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key by which frame_2 comes before frame_10."""
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _open_video(path: Path) -> Any:
    """Open a video file; FFmpeg would also take a text for teletype art, so texts are refused."""
    cv2 = cv2_module()
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UserError(f"{path} is no regular file; expected a video file")
        with path.open("rb") as file:
            head = file.read(_TEXT_PROBE)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}. Check the path") from error
    capture = None
    if not _is_text(head):
        with quiet_stderr():
            capture = cv2.VideoCapture(str(path))
    if capture is None or not capture.isOpened():
        raise UserError(
            f"{path} is {'empty' if not head else 'no video that OpenCV can read'}; expected a "
            f"video file (.mkv .mp4 .avi .webm ...) or a picture ({' '.join(PICTURE_SUFFIXES)})"
        )
    return capture


def _is_text(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return b"\0" not in head


def _stated_fps(capture: Any) -> float:
    fps = float(capture.get(cv2_module().CAP_PROP_FPS))
    return fps if 0 < fps <= 1000 else 0.0


def _cameras_found() -> str:
    found = sorted(Path("/dev").glob("video*"), key=_natural)
    if found:
        return f"found {', '.join(map(str, found))}"
    return "no camera was found (/dev/video*). Plug one in, or give a file with --source"
