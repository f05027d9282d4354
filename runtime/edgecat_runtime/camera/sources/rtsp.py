"""Network streams that OpenCV's FFmpeg reads: RTSP, UDP, SRT, RTMP, and HTTP but for MJPEG."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from edgecat_runtime.camera.redaction import redacted
from edgecat_runtime.camera.source import Shot, SourceOptions
from edgecat_runtime.camera.sources.capture import LiveCapture
from edgecat_runtime.errors import DeviceError, UserError
from edgecat_runtime.system.opencv import cv2_module, silence_opencv

_LOCK = Lock()
_openings: list[str] = []
_ours: dict[str, str] = {}
# The size is known at once; probing the frame rate as well would delay the first image.
SETTINGS = "fpsprobesize;0|analyzeduration;1000000"
_DECODERS = 2  # each further one delays output by a frame
_LATE = 0.9  # of the timeout
_PROBE_SECONDS = 1.0
_HANDSHAKE_SECONDS = 1.0  # SRT's own limit is 3 s; what is refused without the network is at once
_PORTS = {"rtsp": 554, "rtsps": 322, "rtmp": 1935, "rtmps": 443, "https": 443}
_UDP = ("rtp", "srt", "udp")


class NetworkStream(LiveCapture):
    """A stream read through FFmpeg.

    Args:
        capture: released with the source.
        name: used in messages.
        stall: seconds without a frame after which the stream counts as lost.
    """

    def __init__(self, capture: Any, name: str, stall: float) -> None:
        super().__init__(capture, name, "stopped delivering frames")
        self._stall = stall

    def read(self) -> Shot | None:
        """Wait for the next frame; raises DeviceError when none arrives in time."""
        start = perf_counter()
        shot = super().read()
        if perf_counter() - start >= self._stall:  # FFmpeg flushes its buffer after a timeout
            raise DeviceError(f"{self.name} has sent nothing for {self._stall:g} s")
        return shot


def open_rtsp(text: str, options: SourceOptions) -> LiveCapture:
    """Open an `rtsp://` address.

    Raises:
        DeviceError: there is no response in time, or no stream that FFmpeg can decode.
        UserError: a size or rate is requested.
    """
    return open_ffmpeg(text, options, f"rtsp_transport;{options.transport}|{SETTINGS}")


def open_ffmpeg(text: str, options: SourceOptions, settings: str = SETTINGS) -> LiveCapture:
    """Open an address with FFmpeg, its own timeouts set; raises as `open_rtsp`."""
    name = redacted(text)
    options.refuse(name, "width", "height", "fps", instead="set it where the stream is sent")
    cv2 = cv2_module()
    if not cv2.videoio_registry.hasBackend(cv2.CAP_FFMPEG):
        raise UserError(f"{name} needs an OpenCV with FFmpeg; this one lacks it. Try gst:rtspsrc")
    timeout = max(1, round(options.stall * 1000))
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, timeout, cv2.CAP_PROP_READ_TIMEOUT_MSEC, timeout]
    if hasattr(cv2, "CAP_PROP_N_THREADS"):
        limits += [cv2.CAP_PROP_N_THREADS, _DECODERS]
    silence_opencv(cv2)
    start = perf_counter()
    with _ffmpeg_settings(settings):
        capture = cv2.VideoCapture(text, cv2.CAP_FFMPEG, limits)
    if not capture.isOpened():
        seconds = perf_counter() - start
        late = seconds >= _LATE * options.stall
        why = f"no response within {options.stall:g} s" if late else _why_refused(text, seconds)
        raise DeviceError(f"{name} delivers no stream: {why}")
    return NetworkStream(capture, name, options.stall)


def _why_refused(text: str, seconds: float) -> str:
    """Return why FFmpeg gave up after these seconds, which it tells nobody but its log."""
    try:
        parts = urlsplit(text)
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError:
        return "the address is not valid"
    if scheme in _UDP:
        if seconds >= _HANDSHAKE_SECONDS:
            return "no sender answers at this address"
        rejected = ", its passphrase" if scheme == "srt" else ""
        return (
            f"the FFmpeg of this OpenCV was built without {scheme}, or the address{rejected} or "
            "its parameters are wrong"
        )
    try:
        with socket.create_connection((host or "", port or _PORTS.get(scheme, 80)), _PROBE_SECONDS):
            pass
    except (OSError, UnicodeError) as error:
        return f"it cannot be reached: {getattr(error, 'strerror', None) or error}"
    return (
        "the server responds, but the path, user or password is wrong, or FFmpeg cannot decode "
        "the stream"
    )


@contextmanager
def _ffmpeg_settings(settings: str) -> Iterator[None]:
    """Set OpenCV's FFmpeg options, which it reads only from the environment, while opening.

    The user's own setting takes precedence. Opens may overlap, as they can take seconds; they share
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
