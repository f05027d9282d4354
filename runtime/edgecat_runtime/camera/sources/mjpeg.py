"""Motion JPEG over HTTP, read without FFmpeg: timeouts are kept, and the newest frame wins."""

from __future__ import annotations

import os
import select
import socket
import ssl
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from time import perf_counter

import numpy as np

from edgecat_runtime.camera.redaction import redacted
from edgecat_runtime.camera.source import Shot, Source, SourceOptions
from edgecat_runtime.camera.sources.http import INSECURE, HttpClient, reason
from edgecat_runtime.camera.sources.jpeg_stream import JpegStream
from edgecat_runtime.camera.sources.polled import PolledImages
from edgecat_runtime.camera.sources.rtsp import SETTINGS, open_ffmpeg
from edgecat_runtime.errors import DeviceError, UserError
from edgecat_runtime.system.opencv import cv2_module

_CHUNK = 1 << 16
_PEEKED = 16
_PASSED_OVER = 64  # images at most, if a server sends faster than they can be decoded


class MjpegStream(Source):
    """A stream of JPEG images over HTTP.

    Args:
        response: HTTP response whose body is the stream.
        name: used in messages.
        stall: seconds without a complete image after which the stream counts as lost.
    """

    live = True
    may_freeze = True

    def __init__(self, response: HTTPResponse, name: str, stall: float) -> None:
        self.name = name
        self._response = response
        self._socket = socket.socket(fileno=os.dup(response.fileno()))
        self._stall = stall
        self._stream = JpegStream()
        self._cv2 = cv2_module()
        self._undecoded = 0

    def read(self) -> Shot | None:
        """Wait for the next image, or return the newest that has arrived already.

        Raises:
            DeviceError: the stream ended, or delivered no complete image in time.
        """
        deadline = perf_counter() + self._stall
        while (data := self._newest(deadline)) is not None:
            image = self._cv2.imdecode(np.frombuffer(data, np.uint8), self._cv2.IMREAD_COLOR)
            if image is not None:
                return Shot(image)
            self._undecoded += 1
            self.skipped = self._undecoded + self._stream.damaged
        raise DeviceError(f"{self.name} sends data, but no image for {self._stall:g} s")

    def close(self) -> None:
        """Close the connection."""
        with suppress(OSError):
            self._response.close()
        self._socket.close()

    def cancel(self) -> None:
        """Shut the connection down, so that a waiting `read` raises."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _newest(self, deadline: float) -> bytes | None:
        """Return the newest complete image that has arrived; None if none came in time."""
        found: list[bytes] = []
        passed = 0
        while perf_counter() < deadline:
            found = self._stream.feed(self._receive()) or found[-1:]
            passed += len(found)
            self.skipped = self._undecoded + self._stream.damaged
            if found and (passed > _PASSED_OVER or not self._more()):
                break
        self.dropped += max(0, passed - 1)
        return found[-1] if found else None

    def _receive(self) -> bytes:
        try:
            data: bytes = self._response.read1(_CHUNK)
        except TimeoutError as error:
            raise DeviceError(f"{self.name} has sent nothing for {self._stall:g} s") from error
        except (OSError, HTTPException, ValueError) as error:  # ValueError: closed meanwhile
            raise DeviceError(f"{self.name} disconnected: {reason(error)}") from error
        if not data:
            raise DeviceError(f"{self.name} has ended")
        return data

    def _more(self) -> bool:
        try:
            return bool(select.select([self._socket], [], [], 0)[0])
        except (OSError, ValueError):
            return False


def open_http(text: str, options: SourceOptions) -> Source:
    """Open an `http://` or `https://` address: MJPEG, single images, or whatever FFmpeg can read.

    `https+insecure://` trusts any certificate. An address that responds with one image is requested
    again and again, at `options.fps`.

    Raises:
        DeviceError: there is no response, or it is not a stream.
        UserError: the address, user, password or certificate is wrong, or a size is requested, or
            the rate of a stream.
    """
    name = redacted(text)
    fixed = "set it where the stream is sent"
    options.refuse(name, "width", "height", instead=fixed)
    client = HttpClient(text, name, options.stall)
    response = client.get()
    kind = _kind(response)
    if kind.startswith("image/"):
        response.close()
        return PolledImages(client, options.fps, options.stall)
    if kind.startswith("multipart/") or "jpeg" in kind.partition("video/")[2]:
        try:
            options.refuse(name, "fps", instead=fixed)
            return MjpegStream(response, name, options.stall)
        except UserError:
            response.close()
            raise
    response.close()
    if kind.startswith(("text/html", "application/json")):
        raise UserError(
            f"{name} is {kind}; expected a stream: multipart/x-mixed-replace, an image, or a video "
            "that FFmpeg can read. Look up the camera's stream URL"
        )
    scheme, _, rest = text.partition(":")
    if scheme.lower() == INSECURE:
        return open_ffmpeg(f"https:{rest}", options)
    return open_ffmpeg(text, options, _verified() if scheme.lower() == "https" else SETTINGS)


def _kind(response: HTTPResponse) -> str:
    """Return the media type; of content that has no telling one, by its first bytes."""
    stated: str = response.headers.get_content_type()
    if stated not in ("application/octet-stream", "text/plain"):  # the latter also if it is absent
        return stated
    try:
        start = response.peek(_PEEKED)
    except (OSError, HTTPException, ValueError):
        start = b""
    if start.startswith(b"--"):
        return "multipart/x-mixed-replace"
    if start.startswith(b"\xff\xd8\xff"):
        return "video/x-motion-jpeg" if response.length is None else "image/jpeg"
    return stated


def _verified() -> str:
    """FFmpeg's options to check a certificate, which it does not do by itself."""
    authorities = ssl.get_default_verify_paths().cafile
    file = f"|ca_file;{authorities}" if authorities else ""
    return f"{SETTINGS}|tls_verify;1{file}"
