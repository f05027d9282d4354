"""Limits on connections: how many, how long a request may take, and how slowly one may read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiohttp import web

REQUEST_SECONDS = 5.0  # to send a whole request
ANSWER_SECONDS = 30.0  # to receive the response, unless it is a stream
WRITE_SECONDS = 5.0  # for a stream's viewer to receive one image
WAITING_PER_ADDRESS = 16  # connections whose request has not been admitted yet
_OPENING_SECONDS = 1.0
_POLL_SECONDS = 0.02


class ConnectionLimiter:
    """Creates the protocol of each connection, with a deadline; responds 503 beyond `most`.

    Each connection serves one request (`Connection: close`), so one deadline covers all of it. A
    connection whose request was not admitted yet holds no place: it makes room for a new one, the
    oldest of the same address first.

    Args:
        server: knows the connections.
        make: creates the protocol that handles requests.
        most: maximum concurrent connections.
    """

    def __init__(
        self, server: web.Server, make: Callable[[], web.RequestHandler], most: int
    ) -> None:
        self._server = server
        self._make = make
        self._most = most
        self._deadlines: dict[Any, asyncio.TimerHandle] = {}
        self._leaving: dict[Any, float] = {}  # disconnected, which takes a moment
        self._waiting: dict[Any, float] = {}  # not admitted yet, and since when, the oldest first

    def __call__(self) -> asyncio.Protocol:
        """Return the protocol for a new connection."""
        if not self._has_room():
            return _Busy()
        handler = self._make()
        self._waiting[handler] = asyncio.get_running_loop().time()
        self._set(handler, REQUEST_SECONDS)
        return handler

    def admit(self, request: web.Request) -> None:
        """Let a request that may be answered keep its place."""
        self._waiting.pop(request.protocol, None)

    def extend(self, request: web.Request, seconds: float | None) -> None:
        """Give a received request more time from now on; None: no limit."""
        if (timer := self._deadlines.pop(request.protocol, None)) is not None:
            timer.cancel()
        if seconds is not None:
            self._set(request.protocol, seconds)

    async def send(self, request: web.Request, response: web.StreamResponse, data: bytes) -> None:
        """Write to a stream's viewer and wait until the kernel has accepted all of it.

        A viewer that does not read is disconnected after a timeout; until then nothing more is
        written, so at most one value per viewer is buffered.

        Raises:
            ConnectionError: the viewer has left or was disconnected.
        """
        self.extend(request, WRITE_SECONDS)
        await response.write(data)
        while (transport := request.transport) and transport.get_write_buffer_size():
            await asyncio.sleep(_POLL_SECONDS)
        self.extend(request, None)

    def _has_room(self) -> bool:
        """Make room, if necessary, by disconnecting those that wait; return whether there is."""
        now = asyncio.get_running_loop().time()
        by_address: dict[str, list[Any]] = {}
        opening: list[Any] = []  # accepted together with this one
        for handler, since in list(self._waiting.items()):
            if handler.transport is not None:
                peer = handler.transport.get_extra_info("peername") or ("",)
                by_address.setdefault(peer[0], []).append(handler)
            elif now - since > _OPENING_SECONDS:  # disconnected
                del self._waiting[handler]
            else:
                opening.append(handler)
        self._leaving = {one: t for one, t in self._leaving.items() if now - t < _OPENING_SECONDS}
        staying = [one for one in self._server.connections if one not in self._leaving]
        used = len(staying) + len(opening)
        most = max(by_address.values(), key=len, default=[])
        while most and (len(most) >= WAITING_PER_ADDRESS or used >= self._most):
            self._disconnect(most.pop(0))
            used -= 1
        while opening and used >= self._most:
            self._disconnect(opening.pop(0))
            used -= 1
        return used < self._most

    def _disconnect(self, handler: web.RequestHandler) -> None:
        del self._waiting[handler]
        self._leaving[handler] = asyncio.get_running_loop().time()
        if handler.transport is not None:
            handler.transport.abort()
        else:  # connected in a moment
            asyncio.get_running_loop().call_later(_POLL_SECONDS, self._abort, handler)

    def _abort(self, handler: web.RequestHandler) -> None:
        if handler.transport is not None:
            handler.transport.abort()

    def _set(self, handler: web.RequestHandler, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._deadlines[handler] = loop.call_later(seconds, self._expire, handler)

    def _expire(self, handler: web.RequestHandler) -> None:
        del self._deadlines[handler]
        if handler.transport is not None:
            handler.transport.abort()


class _Busy(asyncio.Protocol):
    """Responds that the server is full, and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(
            b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\n"
            b"Connection: close\r\n\r\n"
        )
        transport.close()
