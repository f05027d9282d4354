"""The recorder: classified frames with their overlay, as a video file."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from edgecat_runtime.errors import UserError
from edgecat_runtime.outputs.matroska import MatroskaWriter
from edgecat_runtime.outputs.sink import Sink
from edgecat_runtime.system.atomic import created, write_error
from edgecat_runtime.system.clocks import Rate
from edgecat_runtime.system.opencv import cv2_module
from edgecat_runtime.system.paths import native_path
from edgecat_runtime.system.quiet import suppress_stderr
from edgecat_runtime.types import Image

if TYPE_CHECKING:
    from edgecat_runtime.loop.answers import Answer

log = logging.getLogger("edgecat_runtime")

JPEG_QUALITY = 90
# The default codec of each suffix. JPEG in Matroska uses edgecat's own writer.
CODECS = {".mkv": "MJPG", ".avi": "MJPG", ".mp4": "avc1", ".mov": "avc1", ".webm": "VP80"}
_H264, _INSTEAD = "avc1", "mp4v"  # pip's OpenCV has no H.264 encoder
_MEASURED = 8


class Recorder(Sink):
    """Records every classified frame with its overlay in a video file.

    A `.mkv` is playable up to its last frame whatever happens, and keeps the timestamps of a live
    source, but browsers do not play it. They play a `.webm` (VP8), and a `.mp4` or `.mov` where
    this OpenCV has an H.264 encoder; elsewhere these are MPEG-4, with a warning. What these formats
    lose when the program is killed depends on OpenCV and FFmpeg; an `.mp4` is then unreadable.
    Frames of a different size are fitted to the size of the first.

    Args:
        path: of the file; its folder is created. `{time}` becomes the local time of the start, such
            as 20261126-135900. Where the file exists, a free name is taken: clip-1.mkv, ...
        overwrite: replace an existing file, with the first frame, instead.
        fps: constant frame rate; 0 for a live source, whose rate varies.
        codec: FourCC for OpenCV instead of the suffix's default; `HFYU` in a `.mkv` is lossless.

    Attributes:
        path: of the file that is written.

    Raises:
        UserError: the path is not writable, or this OpenCV cannot write the format.

    Example:
        >>> Recorder("clips/{time}.mkv", fps=30.0).path  # doctest: +SKIP
        PosixPath('clips/20261126-135900.mkv')
        >>> Pipeline(camera, classifier, [Recorder("clip.mkv")]).run()  # doctest: +SKIP
    """

    name = "the recorder"
    wants_overlay = True

    def __init__(
        self, path: str | Path, *, fps: float = 0.0, codec: str = "", overwrite: bool = False
    ) -> None:
        self.path = Path(str(path).replace("{time}", time.strftime("%Y%m%d-%H%M%S")))
        self._fps = fps
        self._encoder: _Encoder | None = None
        self._size = (0, 0)
        self._count = 0
        self._start = 0.0
        suffix = self.path.suffix.lower()
        if suffix not in CODECS:
            raise UserError(
                f"cannot record to {path}; expected a file ending in {' '.join(CODECS)}"
            )
        self._own = suffix == ".mkv" and codec in ("", "MJPG")
        self._codec = codec or CODECS[suffix]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._kept = overwrite and self.path.exists()
            if self._kept:
                self.path.open("ab").close()
            else:
                self.path = created(self.path)
        except OSError as error:
            raise write_error(path, error) from error
        if not self._own:
            self._codec = self._tried(self._codec, "" if codec else _INSTEAD)

    def write(self, answer: Answer, picture: Image) -> None:
        """Append one image; raises UserError when the disk is full."""
        if self._encoder is None:
            self._start = answer.frame.captured
            self._size = (picture.shape[0], picture.shape[1])
            self._encoder = self._open_encoder()
        seconds = self._count / self._fps if self._fps else answer.frame.captured - self._start
        self._count += 1
        try:
            self._encoder.write(_fitted(picture, *self._size), seconds)
        except OSError as error:
            raise write_error(self.path, error) from error

    def close(self) -> None:
        """Finish the file; without any image, none is created."""
        try:
            if self._encoder is None:
                if not self._kept:
                    self.path.unlink(missing_ok=True)
            else:
                self._encoder.close()
        except OSError as error:
            raise write_error(self.path, error) from error

    def _tried(self, codec: str, instead: str) -> str:
        """Return the codec if this OpenCV has it; `instead` for H.264, unless that is empty."""
        suffix = self.path.suffix.lower()
        if can_encode(suffix, codec):
            return codec
        if codec == _H264 and instead and can_encode(suffix, instead):
            log.warning(
                "%s: this OpenCV has no H.264 encoder, so browsers will not play the recording; "
                "they play a .webm",
                self.path,
            )
            return instead
        self.close()
        raise UserError(f"this OpenCV cannot write {codec} in {suffix} files; record to a .mkv")

    def _open_encoder(self) -> _Encoder:
        if self._own:
            return _JpegEncoder(self.path, self._size, self._fps)
        if self._fps:
            return _OpenCVEncoder(self.path, self._size, self._fps, self._codec)
        return _MeasuringEncoder(self.path, self._size, self._codec)


@cache
def can_encode(suffix: str, codec: str) -> bool:
    """Whether this OpenCV writes a codec (FourCC) in files of a suffix such as `.mp4`."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            _OpenCVEncoder(Path(folder) / f"trial{suffix}", (64, 64), 25.0, codec).close()
        except UserError:
            return False
    return True


def playable_suffix() -> str:
    """Return the suffix of recordings that browsers play: `.mp4` with H.264, else `.webm`.

    `.mkv`, which they do not play, if this OpenCV can write neither.
    """
    found = (suffix for suffix in (".mp4", ".webm") if can_encode(suffix, CODECS[suffix]))
    return next(found, ".mkv")


class _Encoder(Protocol):
    def write(self, picture: Image, seconds: float) -> None: ...
    def close(self) -> None: ...


class _JpegEncoder:
    """JPEG images in edgecat's own Matroska file."""

    def __init__(self, path: Path, size: tuple[int, int], fps: float) -> None:
        self._cv2 = cv2_module()
        self._options = [self._cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        self._file = MatroskaWriter(path, height=size[0], width=size[1], fps=fps)

    def write(self, picture: Image, seconds: float) -> None:
        _, jpeg = self._cv2.imencode(".jpg", picture, self._options)
        self._file.write(jpeg.tobytes(), seconds)

    def close(self) -> None:
        self._file.close()


class _OpenCVEncoder:
    """Whatever OpenCV's VideoWriter writes, at a constant frame rate."""

    def __init__(self, path: Path, size: tuple[int, int], fps: float, codec: str) -> None:
        cv2 = cv2_module()
        self._folder = path.parent
        with suppress_stderr(), native_path(path) as name:
            fourcc = cv2.VideoWriter.fourcc(*codec)
            self._writer: Any = cv2.VideoWriter(name, fourcc, fps, size[::-1])
        if not self._writer.isOpened():
            raise UserError(
                f"this OpenCV cannot write {codec} in {path.suffix} files; record to a .mkv"
            )

    def write(self, picture: Image, seconds: float) -> None:
        # OpenCV hides a failed write, so the free disk space is checked beforehand.
        if shutil.disk_usage(self._folder).free < picture.nbytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._writer.write(picture)

    def close(self) -> None:
        self._writer.release()


class _MeasuringEncoder:
    """OpenCV's writer for a live source: buffers the first images until their rate is known."""

    def __init__(self, path: Path, size: tuple[int, int], codec: str) -> None:
        self._path, self._size, self._codec = path, size, codec
        self._rate = Rate()
        self._waiting: list[Image] = []
        self._encoder: _OpenCVEncoder | None = None

    def write(self, picture: Image, seconds: float) -> None:
        if self._encoder is not None:
            return self._encoder.write(picture, seconds)
        fps = self._rate.tick(seconds)
        self._waiting.append(picture)
        if len(self._waiting) >= _MEASURED:
            self._open(fps)
        return None

    def close(self) -> None:
        if self._encoder is None:
            self._open(self._rate.last)
        if self._encoder is not None:
            self._encoder.close()

    def _open(self, fps: float) -> None:
        self._encoder = _OpenCVEncoder(self._path, self._size, fps or 25.0, self._codec)
        for picture in self._waiting:
            self._encoder.write(picture, 0.0)
        self._waiting.clear()


def _fitted(picture: Image, height: int, width: int) -> Image:
    """Fit an image into a size, keeping its aspect ratio, with black borders."""
    if picture.shape[:2] == (height, width):
        return picture
    cv2 = cv2_module()
    scale = min(height / picture.shape[0], width / picture.shape[1])
    inner_h = max(1, round(picture.shape[0] * scale))
    inner_w = max(1, round(picture.shape[1] * scale))
    top, left = (height - inner_h) // 2, (width - inner_w) // 2
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[top : top + inner_h, left : left + inner_w] = cv2.resize(
        picture, (inner_w, inner_h), interpolation=cv2.INTER_AREA
    )
    return canvas
