"""The inference service: a model on a socket, until it is told to stop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecat_runtime._version import __version__
from edgecat_runtime.errors import UserError
from edgecat_runtime.system.machine import cores
from edgecat_runtime.web.access import AccessControl
from edgecat_runtime.web.inference.application import Service
from edgecat_runtime.web.inference.batcher import Batcher
from edgecat_runtime.web.server import ServerThread, handlers, web_module

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


class InferenceServer(ServerThread):
    """Serves a model from a thread of its own; as a context, from entering to leaving.

    Leaving answers every request that was accepted, then closes the socket.

    Args:
        classifier: the model; it stays open.
        sock: the listening socket, closed at the end.
        guard: decides which requests are answered.
        name: of the model, in URLs.
        options: batches and limits.
        copies: more classifiers of the same model, which take batches, too; they stay open.

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
        copies: Sequence[Classifier] = (),
    ) -> None:
        super().__init__(sock, "edgecat serve")
        self._classifier = classifier
        self._instances = (classifier, *copies)
        self._guard = guard
        self._name = model_name(name)
        self._options = options or ServiceOptions()

    def __enter__(self) -> InferenceServer:
        try:
            self.start()
        except Exception:
            self._sock.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def _serve(self, loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
        options = self._options
        with (
            ThreadPoolExecutor(len(self._instances), "network") as network,
            ThreadPoolExecutor(min(4, cores()), "decode") as pool,
        ):
            batcher = Batcher(
                *([instance.infer for instance in self._instances], network),
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
            assert runner.server is not None  # it is set up
            make = handlers(runner.server, loop, 1.0)
            server = await loop.create_server(make, sock=self._sock)
            batcher.start()
            self._ready.set()
            await stop.wait()
            service.ready = False
            server.close()
            await batcher.close()
            await runner.cleanup()
