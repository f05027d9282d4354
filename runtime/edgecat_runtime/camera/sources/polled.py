"""Cameras that give one image per HTTP request."""

from __future__ import annotations

from http.client import HTTPException, HTTPResponse
from threading import Event
from time import perf_counter

from edgecat_runtime.camera.source import Shot, Source
from edgecat_runtime.camera.sources.http import HttpClient, reason
from edgecat_runtime.errors import DeviceError, UserError
from edgecat_runtime.images import ImageError, decode_image

POLLED_FPS = 5.0
LARGEST = 32 << 20
_CHUNK = 1 << 16


class PolledImages(Source):
    """An address that responds with the newest image, requested at a fixed rate.

    Args:
        client: requests it.
        fps: images per second; 0: 5.
        stall: seconds without an image after which the source counts as lost.
    """

    live = True
    may_freeze = True

    def __init__(self, client: HttpClient, fps: float, stall: float) -> None:
        self.name = client.name
        self.fps = fps or POLLED_FPS
        self._client = client
        self._stall = stall
        self._due = 0.0
        self._stopped = Event()

    def read(self) -> Shot | None:
        """Wait until an image is due and request it.

        A request that fails, as busy cameras refuse some, or an image that is damaged, is followed
        by the next one.

        Raises:
            DeviceError: there was no image in time.
        """
        deadline = perf_counter() + self._stall
        while True:
            self._wait()
            try:
                return Shot(decode_image(self._body(self._client.get()), self.name))
            except ImageError as error:
                self.skipped += 1
                failure: Exception = error
            except (DeviceError, UserError) as error:  # a user that was valid once may be again
                failure = error
            if self._stopped.is_set() or perf_counter() >= deadline:
                raise DeviceError(str(failure)) from failure

    def cancel(self) -> None:
        """Make a waiting `read` raise."""
        self._stopped.set()
        self._client.cancel()

    def _wait(self) -> None:
        now = perf_counter()
        self._due = max(self._due + 1 / self.fps, now) if self._due else now
        if self._stopped.wait(max(0.0, self._due - now)):
            raise DeviceError(f"{self.name} was closed")

    def _body(self, response: HTTPResponse) -> bytes:
        deadline = perf_counter() + self._stall
        body = bytearray()
        try:
            while data := response.read1(_CHUNK):
                body += data
                if len(body) > LARGEST or perf_counter() > deadline:
                    raise DeviceError(f"{self.name} sends no complete image within limits")
        except (OSError, HTTPException, ValueError) as error:
            raise DeviceError(f"{self.name} disconnected: {reason(error)}") from error
        finally:
            response.close()
        return bytes(body)
