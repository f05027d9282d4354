"""The server's endless streams: images, and events with the page's figures."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from time import time
from typing import TYPE_CHECKING, Any

from edgecat_runtime.web.broadcast import Broadcast, Produce
from edgecat_runtime.web.connections import ConnectionLimiter
from edgecat_runtime.web.encoders import RATE, RATES, WIDTH, WIDTHS, Encoders, NewestImage, choice
from edgecat_runtime.web.loop_status import LoopStatus
from edgecat_runtime.web.text import json_text

if TYPE_CHECKING:
    from aiohttp import web

_NEWS_SECONDS = 0.2
_FIGURES_EVERY = 5
_BOUNDARY = b"--frame\r\n"


class Streams:
    """The streams of one server, and their viewers. Belongs to its event loop.

    Args:
        feed: what is shown.
        pool: threads that encode images.
        most: maximum concurrent viewers of images, and likewise readers of events.

    Attributes:
        viewers: current number of viewers of images.
        limiter: set by the server before the first request.
    """

    limiter: ConnectionLimiter

    def __init__(self, feed: LoopStatus, pool: ThreadPoolExecutor, *, most: int) -> None:
        from aiohttp import web

        self.viewers = 0
        self._web = web
        self._feed = feed
        self._most = most
        self._readers = 0
        self._encoders = Encoders(pool)
        self._news = Broadcast("the page's figures", self._start_news, _NEWS_SECONDS)

    async def send_images(
        self, request: web.Request, name: str, picture: NewestImage
    ) -> web.StreamResponse:
        """Stream JPEG images (multipart/x-mixed-replace) until either side ends it.

        Raises:
            HTTPException: a width or rate that is not a number, or too many viewers.
        """
        try:
            width = choice(request.query.get("width"), WIDTHS, WIDTH)
            rate = choice(request.query.get("fps"), RATES, RATE)
        except ValueError:
            raise self._web.HTTPBadRequest(
                reason=f"width and fps must be numbers, such as width={WIDTH}&fps={RATE}"
            ) from None
        self._check_place(self.viewers)
        self.viewers += 1
        try:
            broadcast = self._encoders.broadcast(name, picture, width, rate)
            response = self._web.StreamResponse(
                headers={"Content-Type": "multipart/x-mixed-replace; boundary=frame"}
            )
            await self._send_all(request, response, broadcast, _twice(), first=_BOUNDARY)
        finally:
            self.viewers -= 1
        return response

    async def send_events(self, request: web.Request, hello: dict[str, Any]) -> web.StreamResponse:
        """Server-sent events: one `hello` with the recent history, then `news`, finally `end`.

        Args:
            request: what is answered.
            hello: what the first event says beside the present figures.

        Raises:
            HTTPException: too many readers.
        """
        self._check_place(self._readers)
        self._readers += 1
        try:
            response = self._web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            text = json_text({**self._now(), **self._feed.figures(), **hello})
            first = f"retry: 1000\n\nevent: hello\ndata: {text}\n\n".encode()
            await self._send_all(request, response, self._news, bytes, first=first)
            with suppress(ConnectionError):
                await self.limiter.send(request, response, b"event: end\ndata: {}\n\n")
        finally:
            self._readers -= 1
        return response

    def end(self) -> None:
        """Let go of everyone."""
        self._news.put(None)
        self._encoders.end()

    def _check_place(self, watching: int) -> None:
        if watching >= self._most:
            raise self._web.HTTPServiceUnavailable(
                reason=f"{self._most} viewers are watching, the maximum"
            )

    async def _send_all(
        self,
        request: web.Request,
        response: web.StreamResponse,
        broadcast: Broadcast,
        wrap: Callable[[bytes], bytes],
        *,
        first: bytes,
    ) -> None:
        self.limiter.extend(request, None)
        response.force_close()
        with suppress(ConnectionError):
            await response.prepare(request)
            await self.limiter.send(request, response, first)
            async with aclosing(broadcast.watch()) as values:
                async for value in values:
                    await self.limiter.send(request, response, wrap(value))

    def _start_news(self) -> Produce:
        turn = 0
        figures: dict[str, Any] = {}

        async def produce() -> bytes:
            nonlocal turn, figures
            if turn % _FIGURES_EVERY == 0:
                figures = self._feed.figures()
            turn += 1
            return f"event: news\ndata: {json_text({**self._now(), **figures})}\n\n".encode()

        return produce

    def _now(self) -> dict[str, Any]:
        return {
            "now": round(time(), 2),
            "viewers": self.viewers,
            "engine": self._feed.engine(),
            "cameras": self._feed.cameras(),
        }


def _twice() -> Callable[[bytes], bytes]:
    """Return `_part` for one viewer, whose first image is sent twice.

    Chromium shows an image of a stream only when the next one begins, so that a viewer of a still
    image would see nothing.
    """
    shown = False

    def wrap(picture: bytes) -> bytes:
        nonlocal shown
        first, shown = not shown, True
        return _part(picture) * (2 if first else 1)

    return wrap


def _part(picture: bytes) -> bytes:
    """One image and the next boundary, which browsers wait for before they show the image."""
    head = f"Content-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n".encode()
    return head + picture + b"\r\n" + _BOUNDARY
