"""The server's thread, with its own event loop."""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from threading import Event, Thread
from types import ModuleType
from typing import TYPE_CHECKING, Any

from edgecat_runtime.errors import BackendMissing
from edgecat_runtime.web.connections import ConnectionLimiter
from edgecat_runtime.web.requests import request_handler

if TYPE_CHECKING:
    from aiohttp import web

    from edgecat_runtime.web.application import Application

STOP_SECONDS = 0.2
_JOIN_SECONDS = 3.0


def web_module() -> ModuleType:
    """Return `aiohttp.web`; raises BackendMissing if aiohttp is not installed."""
    try:
        from aiohttp import web
    except ImportError as error:
        raise BackendMissing(
            "aiohttp is not installed: pip install 'edgecat-runtime[web]'"
        ) from error
    module: ModuleType = web
    return module


class ServerThread(ABC):
    """A server with an event loop of its own, in a thread.

    Args:
        sock: the listening socket; the server closes it.
        name: of the thread.
        patience: seconds to wait for the end of the thread; None: as long as it takes.
    """

    def __init__(self, sock: socket.socket, name: str, patience: float | None = None) -> None:
        self._sock = sock
        self._patience = patience
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._ready = Event()
        self._error: Exception | None = None
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start serving."""
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """End the service and the thread."""
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(self._patience)
        self._sock.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._begin())
        except Exception as error:
            self._error = error
        finally:
            self._ready.set()

    async def _begin(self) -> None:
        loop, stop = self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        await self._serve(loop, stop)

    @abstractmethod
    async def _serve(self, loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
        """Serve until `stop` is set; set `_ready` once requests are answered."""


def handlers(
    server: web.Server, loop: asyncio.AbstractEventLoop, lingering: float
) -> Callable[[], web.RequestHandler]:
    """What creates the protocol of a connection, with limits on what a request may send."""
    limits: dict[str, Any] = {"access_log": None, "lingering_time": lingering}
    limits |= {"max_line_size": 4096, "max_field_size": 8190}
    return partial(request_handler(), server, loop=loop, **limits)


class Server(ServerThread):
    """An aiohttp application in a thread; `stop` ends all streams within a second.

    Args:
        sock: the listening socket; the server closes it.
        make: creates the application, in that thread's event loop.
        most: maximum concurrent connections.
    """

    def __init__(self, sock: socket.socket, make: Callable[[], Application], *, most: int) -> None:
        super().__init__(sock, "edgecat web", _JOIN_SECONDS)
        self._make = make
        self._most = most

    async def _serve(self, loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
        application = self._make()
        runner = web_module().AppRunner(
            application.app,
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=STOP_SECONDS,
        )
        await runner.setup()
        assert runner.server is not None  # it is set up
        make = handlers(runner.server, loop, STOP_SECONDS)
        application.limiter = ConnectionLimiter(runner.server, make, self._most)
        server = await loop.create_server(application.limiter, sock=self._sock)
        self._ready.set()
        await stop.wait()
        server.close()
        await runner.cleanup()
