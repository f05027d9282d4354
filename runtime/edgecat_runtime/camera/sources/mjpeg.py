"""Motion JPEG over HTTP, read without FFmpeg: timeouts are kept, and the newest frame wins."""

from __future__ import annotations

import os
import select
import socket
from contextlib import suppress
from http.client import HTTPException, InvalidURL
from time import perf_counter
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit

import numpy as np

from edgecat_runtime.camera.redaction import redacted
from edgecat_runtime.camera.source import Shot, Source, SourceOptions
from edgecat_runtime.camera.sources.jpeg_stream import JpegStream
from edgecat_runtime.camera.sources.rtsp import open_ffmpeg
from edgecat_runtime.errors import DeviceError, UserError
from edgecat_runtime.system.opencv import cv2_module

if TYPE_CHECKING:
    from urllib.request import Request

_CHUNK = 1 << 16
_PASSED_OVER = 64  # images at most, if a server sends faster than they can be decoded


class MjpegStream(Source):
    """A stream of JPEG images over HTTP.

    Args:
        response: HTTP response whose body is the stream.
        name: used in messages.
        stall: seconds without a complete image after which the stream counts as lost.
    """

    live = True

    def __init__(self, response: Any, name: str, stall: float) -> None:
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
            raise DeviceError(f"{self.name} disconnected: {_reason(error)}") from error
        if not data:
            raise DeviceError(f"{self.name} has ended")
        return data

    def _more(self) -> bool:
        try:
            return bool(select.select([self._socket], [], [], 0)[0])
        except (OSError, ValueError):
            return False


def open_http(text: str, options: SourceOptions) -> Source:
    """Open an `http://` or `https://` address: MJPEG, or anything that FFmpeg can read.

    Raises:
        DeviceError: there is no response, or it is not a stream.
        UserError: the address, user or password is wrong, or a size or rate is requested.
    """
    name = redacted(text)
    options.refuse(name, "width", "height", "fps", instead="set it where the stream is sent")
    response = _response(text, name, options.stall)
    kind = response.headers.get_content_type()
    if kind.startswith("multipart/") or "jpeg" in kind.partition("video/")[2]:
        return MjpegStream(response, name, options.stall)
    response.close()
    if kind.startswith(("text/html", "image/", "application/json")):
        raise UserError(
            f"{name} is {kind}; expected a stream: multipart/x-mixed-replace, or a video that "
            "FFmpeg can read. Look up the camera's stream URL"
        )
    return open_ffmpeg(text, options)


def _response(text: str, name: str, timeout: float) -> Any:
    """Request the address, without a proxy, and return the response with its body unread."""
    from urllib.request import Request

    try:
        parts = urlsplit(text)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
        place = f"{host}:{parts.port}" if parts.port else host
    except ValueError as error:
        raise UserError(f"{name} is not a valid address; expected http://host:port/path") from error
    if not host:
        raise UserError(f"{name} has no host; expected http://host:port/path")
    address = parts._replace(netloc=place, fragment="").geturl()
    request = Request(address, headers={"User-Agent": "edgecat", "Accept": "*/*"})
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    try:
        return _opened(request, user, password, timeout)
    except HTTPError as error:
        error.close()
        if error.code in (401, 403):
            raise UserError(
                f"{name} rejects the user or password ({error.code}); give them as "
                "http://user:password@host/path, with %40 for @"
            ) from error
        raise DeviceError(f"{name} responded with {error.code} {error.reason}") from error
    except URLError as error:
        raise DeviceError(f"{name} cannot be reached: {_reason(error.reason)}") from error
    except (InvalidURL, ValueError) as error:  # its words quote the address
        raise UserError(
            f"{name} is not a valid address; expected http://host:port/path, with %20 for a space"
        ) from error
    except (OSError, HTTPException) as error:
        raise DeviceError(f"{name} does not respond as a web server: {_reason(error)}") from error


def _opened(request: Request, user: str, password: str, timeout: float) -> Any:
    from urllib import request as urllib

    handlers: list[Any] = [urllib.ProxyHandler({})]
    if user:
        passwords = urllib.HTTPPasswordMgrWithDefaultRealm()
        passwords.add_password(None, request.full_url, user, password)
        handlers += [
            urllib.HTTPDigestAuthHandler(passwords),
            urllib.HTTPBasicAuthHandler(passwords),
        ]
    opener = urllib.build_opener(*handlers)
    return opener.open(request, timeout=timeout)


def _reason(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    text = error.strerror if isinstance(error, OSError) else ""
    return text or str(error) or type(error).__name__
