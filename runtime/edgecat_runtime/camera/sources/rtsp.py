"""Network streams that OpenCV's FFmpeg reads: RTSP, and what HTTP serves besides MJPEG."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from time import perf_counter
from typing import Any

from edgecat_runtime.camera.source import Shot, SourceOptions, redacted
from edgecat_runtime.camera.sources.capture import LiveCapture, hush
from edgecat_runtime.errors import DeviceError, UserError
from edgecat_runtime.system.opencv import cv2_module

_LOCK = Lock()
_openings: list[str] = []
_ours: dict[str, str] = {}
# The size is known at once; to guess the frame rate as well would hold back the first picture.
_SETTINGS = "fpsprobesize;0|analyzeduration;1000000"
_DECODERS = 2  # each further one holds a frame back


class NetworkStream(LiveCapture):
    """A stream behind FFmpeg.

    Args:
        capture: released with the source.
        name: for sentences.
        stall: seconds without a frame after which the stream is lost.
    """

    def __init__(self, capture: Any, name: str, stall: float) -> None:
        super().__init__(capture, name, "gives no more frames")
        self._stall = stall

    def read(self) -> Shot | None:
        """Wait for the next frame; raises DeviceError when none comes in time."""
        start = perf_counter()
        shot = super().read()
        if perf_counter() - start >= self._stall:  # of a dead stream FFmpeg gives what it held back
            raise DeviceError(f"{self.name} has sent nothing for {self._stall:g} s")
        return shot


def open_rtsp(text: str, options: SourceOptions) -> LiveCapture:
    """Open an `rtsp://` address.

    Raises:
        DeviceError: nothing answers there in time, or no stream that FFmpeg can decode.
        UserError: a size or rate is asked for.
    """
    return open_ffmpeg(text, options, f"rtsp_transport;{options.transport}|{_SETTINGS}")


def open_ffmpeg(text: str, options: SourceOptions, settings: str = _SETTINGS) -> LiveCapture:
    """Open an address with FFmpeg, its own timeouts set; raises as `open_rtsp`."""
    name = redacted(text)
    options.refuse(name, "width", "height", "fps", instead="set it where the stream is made")
    cv2 = cv2_module()
    if not cv2.videoio_registry.hasBackend(cv2.CAP_FFMPEG):
        raise UserError(f"{name} needs an OpenCV with FFmpeg; this one has none. Try gst:rtspsrc")
    timeout = max(1, round(options.stall * 1000))
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, timeout, cv2.CAP_PROP_READ_TIMEOUT_MSEC, timeout]
    if hasattr(cv2, "CAP_PROP_N_THREADS"):
        limits += [cv2.CAP_PROP_N_THREADS, _DECODERS]
    hush(cv2)
    with _ffmpeg_settings(settings):
        capture = cv2.VideoCapture(text, cv2.CAP_FFMPEG, limits)
    if not capture.isOpened():
        raise DeviceError(
            f"{name} gives no stream: nothing answers there within {options.stall:g} s, the name "
            "or password is wrong, or FFmpeg cannot decode it"
        )
    return NetworkStream(capture, name, options.stall)


@contextmanager
def _ffmpeg_settings(settings: str) -> Iterator[None]:
    """Set what OpenCV tells FFmpeg, which it takes from the environment alone, while one opens.

    What the user has set there wins. Openings may overlap, as they can take seconds; they share
    the settings of the first.
    """
    wanted = {"OPENCV_FFMPEG_CAPTURE_OPTIONS": settings, "OPENCV_FFMPEG_LOGLEVEL": "-8"}
    with _LOCK:
        if not _openings:
            _ours.update({name: wanted[name] for name in wanted.keys() - os.environ.keys()})
            os.environ.update(_ours)
        _openings.append(settings)
    try:
        yield
    finally:
        with _LOCK:
            _openings.remove(settings)
            if not _openings:
                for name in _ours:
                    os.environ.pop(name, None)
                _ours.clear()
