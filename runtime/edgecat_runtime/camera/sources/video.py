"""Video files: every frame that can be decoded, upright, and none that was not."""

from __future__ import annotations

import codecs
import logging
import os
import re
import stat
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from edgecat_runtime.camera.source import Shot, Source
from edgecat_runtime.camera.sources.capture import stated_fps
from edgecat_runtime.errors import UserError
from edgecat_runtime.images import IMAGE_SUFFIXES
from edgecat_runtime.system.opencv import cv2_module
from edgecat_runtime.system.paths import native_path
from edgecat_runtime.system.quiet import suppress_stderr
from edgecat_runtime.types import Image

log = logging.getLogger("edgecat_runtime")

_TEXT_PROBE = 4096
_ATTEMPTS = 250  # frames in a row that may be damaged before the file counts as ended
_PROBE_SECONDS = 20.0
_TOLERANCE = 0.5  # seconds between the last frame's time and the stated end
# FFmpeg 8 refuses to convert interlaced frames, and OpenCV returns memory that nobody wrote.
_REFUSAL = "Cannot convert interlaced"
_PROBE = "import cv2, sys; cv2.VideoCapture(sys.argv[1]).read()"


class VideoFile(Source):
    """A video file, frame by frame; damaged frames are skipped and counted."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path
        self._capture = _open_video(path)
        self._turns = _turns(self._capture)
        self._ahead: deque[Image] = deque()
        self._decoded = 0
        self._milliseconds = 0.0
        self._ended = False
        self.fps = stated_fps(self._capture)

    def read(self) -> Shot | None:
        """Decode the next frame.

        Raises:
            UserError: not even the first frame can be decoded, or this OpenCV cannot convert them.
        """
        if not self._decoded:
            self._begin()
        image = self._ahead.popleft() if self._ahead else self._next()
        return None if image is None else Shot(image)

    def close(self) -> None:
        """Close the file."""
        self._capture.release()

    def _begin(self) -> None:
        """Decode two frames; equal ones are what unwritten memory looks like."""
        self._ahead.extend(image for image in (self._next(), self._next()) if image is not None)
        if not self._ahead:
            raise UserError(
                f"{self.name} contains no frame that the FFmpeg of OpenCV "
                f"{cv2_module().__version__} can decode (codec {_codec(self._capture)}). "
                "If it plays elsewhere, convert it: ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4; "
                "if not, it is damaged: copy it again"
            )
        first, last = self._ahead[0], self._ahead[-1]
        if np.array_equal(first, last) and _is_interlaced(self._path):
            raise UserError(
                f"{self.name} is interlaced, which the FFmpeg of OpenCV {cv2_module().__version__} "
                "cannot convert. Deinterlace it: ffmpeg -i INPUT -vf yadif OUTPUT.mp4"
            )

    def _next(self) -> Image | None:
        """The next frame that can be decoded; None at the end."""
        for attempt in range(_ATTEMPTS):
            there: bool
            image: Image
            there, image = self._capture.read()
            if there:
                self._decoded += 1
                self._milliseconds = self._property("POS_MSEC")
                self.skipped += attempt
                return np.rot90(image, -self._turns).copy() if self._turns else image
            if self._decoded + self.skipped + attempt + 1 >= self._property("FRAME_COUNT"):
                break
        self._end()
        return None

    def _end(self) -> None:
        """Say which frames were missing. The stated number is only an estimate in some formats."""
        if self._ended or not self._decoded:
            return
        self._ended = True
        stated, fps = self._property("FRAME_COUNT"), self.fps or 25.0
        seconds = stated / fps - self._milliseconds / 1000
        if seconds > max(_TOLERANCE, 2 / fps):
            self.skipped += max(0, round(seconds * fps) - 1 - self.skipped)
        if self.skipped:
            log.warning(
                "%s: %d of about %d frames are missing or damaged", self.name, self.skipped, stated
            )

    def _property(self, name: str) -> float:
        value = float(self._capture.get(getattr(cv2_module(), f"CAP_PROP_{name}")))
        return max(0.0, value)  # also where it is NaN or unknown


def _turns(capture: Any) -> int:
    """Quarter turns clockwise that are left to do after OpenCV's own, by the file's orientation.

    OpenCV 4.11 does not turn unless asked, and 4.6 turns the wrong way.
    """
    cv2 = cv2_module()
    old = tuple(map(int, re.findall(r"\d+", cv2.__version__)[:2])) < (4, 7)
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0 if old else 1)
    return -int(capture.get(cv2.CAP_PROP_ORIENTATION_META)) // 90 % 4 if old else 0


def _codec(capture: Any) -> str:
    code = int(capture.get(cv2_module().CAP_PROP_FOURCC)) & 0xFFFFFFFF
    name = code.to_bytes(4, "little").decode("ascii", "replace").strip()
    return name if name.isprintable() and name.isascii() else f"0x{code:08x}"


def _is_interlaced(path: Path) -> bool:
    """Ask FFmpeg in a process of its own, whose messages can be read."""
    if not sys.executable:
        return False
    environment = {
        **os.environ,
        "OPENCV_FFMPEG_LOGLEVEL": "16",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    try:
        with native_path(path) as name:
            ran = subprocess.run(
                [sys.executable, "-c", _PROBE, name],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=_PROBE_SECONDS,
            )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return _REFUSAL.encode() in ran.stdout


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
        with suppress_stderr(), native_path(path) as name:
            capture = cv2.VideoCapture(name)
    if capture is None or not capture.isOpened():
        raise UserError(
            f"{path} is {'empty' if not head else 'not a video that OpenCV can read'}; expected a "
            f"video file (.mkv .mp4 .avi .webm ...) or an image ({' '.join(IMAGE_SUFFIXES)})"
        )
    return capture


def _is_text(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return b"\0" not in head
