"""The inference service: a model on a socket, until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from edgecat_runtime._version import __version__
from edgecat_runtime.errors import UserError
from edgecat_runtime.web.guard import AccessControl
from edgecat_runtime.web.inference.application import Service
from edgecat_runtime.web.inference.batcher import Batcher
from edgecat_runtime.web.requests import request_handler
from edgecat_runtime.web.server import web_module

if TYPE_CHECKING:
    from edgecat_runtime.classifier import Classifier

_LAST_SECONDS = 10.0
"""For responses that are being written when the service ends."""

_NAME_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


@dataclass(frozen=True)
class ServiceOptions:
    """How a model is served.

    Attributes:
        max_batch: maximum frames in a batch of the network.
        delay: longest time for which a free network waits for more frames, in seconds.
        queue: maximum frames that wait; requests beyond get status 503 at once.
        max_images: maximum images in a request.
        max_bytes: maximum length of a request.

    Raises:
        UserError: one of them is out of range.
    """

    max_batch: int = 16
    delay: float = 0.002
    queue: int = 64
    max_images: int = 64
    max_bytes: int = 64 << 20

    def __post_init__(self) -> None:
        bounds = {"max_batch": 1024, "queue": 1 << 20, "max_images": 4096, "max_bytes": 1 << 30}
        for name, most in bounds.items():
            if not 1 <= getattr(self, name) <= most:
                raise UserError(f"{name} is {getattr(self, name)}; expected 1 to {most}")
        if not 0 <= self.delay <= 10:
            raise UserError(f"delay is {self.delay} s; expected 0 to 10")


def model_name(text: str) -> str:
    """Check a name for URLs: letters, digits, dots, hyphens and underscores.

    Raises:
        UserError: it has other characters, or none.
    """
    if not text or set(text) - _NAME_LETTERS or set(text) <= {"."}:
        raise UserError(f"the model's name is {text!r}; expected letters, digits and . - _")
    return text


class InferenceServer:
    """Serves a model from a thread of its own; as a context, from entering to leaving.

    Leaving answers every request that was accepted, then closes the socket.

    Args:
        classifier: the model; it stays open.
        sock: the listening socket, closed at the end.
        guard: decides which requests are answered.
        name: of the model, in URLs.
        options: batches and limits.

    Raises:
        UserError: the name cannot be in a URL.
        BackendMissing: aiohttp or prometheus-client is not installed.

    Example:
        >>> address = Address("127.0.0.1", 8000)  # doctest: +SKIP
        >>> sock = listen(address)  # doctest: +SKIP
        >>> guard = AccessControl(address, sock)  # doctest: +SKIP
        >>> with InferenceServer(classifier, sock, guard, name="vgg16"):  # doctest: +SKIP
        ...     signal.pause()
    """

    def __init__(
        self,
        classifier: Classifier,
        sock: socket.socket,
        guard: AccessControl,
        *,
        name: str,
        options: ServiceOptions | None = None,
    ) -> None:
        self._classifier = classifier
        self._sock = sock
        self._guard = guard
        self._name = model_name(name)
        self._options = options or ServiceOptions()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._ready = Event()
        self._error: Exception | None = None
        self._thread = Thread(target=self._run, name="edgecat serve", daemon=True)

    def __enter__(self) -> InferenceServer:
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            self._sock.close()
            raise self._error
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._sock.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            self._error = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        options, workers = self._options, min(4, os.cpu_count() or 1)
        with (
            ThreadPoolExecutor(1, "network") as network,
            ThreadPoolExecutor(workers, "decode") as pool,
        ):
            batcher = Batcher(
                *(self._classifier.infer, network),
                most=options.max_batch,
                delay=options.delay,
                places=options.queue,
            )
            service = Service(
                *(self._classifier, self._name, self._guard, batcher, pool),
                most_images=options.max_images,
                most_bytes=options.max_bytes,
                version=__version__,
            )
            runner = web_module().AppRunner(
                service.app, access_log=None, shutdown_timeout=_LAST_SECONDS
            )
            await runner.setup()
            limits: dict[str, Any] = {"access_log": None, "lingering_time": 1.0}
            limits |= {"max_line_size": 4096, "max_field_size": 8190}
            make = partial(request_handler(), runner.server, loop=self._loop, **limits)
            server = await self._loop.create_server(make, sock=self._sock)
            batcher.start()
            self._ready.set()
            await self._stop.wait()
            service.ready = False
            server.close()
            await batcher.close()
            await runner.cleanup()
