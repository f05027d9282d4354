"""The handlers of the inference service: health, metadata, inference, metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.errors import EdgecatError
from edgecat_runtime.images import ImageError, decode_image
from edgecat_runtime.web.access import HEADERS, AccessControl, is_foreign
from edgecat_runtime.web.entrance import error_reply, json_reply
from edgecat_runtime.web.inference.batcher import Batcher, Overloaded
from edgecat_runtime.web.inference.metrics import ServiceMetrics
from edgecat_runtime.web.inference.protocol import (
    BadRequest,
    InferRequest,
    metadata,
    read_request,
    response,
)

if TYPE_CHECKING:
    from aiohttp import web

    from edgecat_runtime.classifier import Classifier

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger("edgecat_runtime")

JSON_LENGTH = "Inference-Header-Content-Length"
VERSION = "1"
"""Of every model: its file is replaced, not added to."""

_BODY_SECONDS = 30.0
_BODIES = 4
_OPEN = ("/v2/health/live", "/v2/health/ready")


class Service:
    """The handlers; created and used in the server's event loop.

    Args:
        classifier: the model.
        name: under which it is served.
        guard: knows the address, and the token.
        batcher: runs the network.
        pool: threads that decode images.
        most_images: maximum number of images in a request.
        most_bytes: maximum length of a request.
        version: of edgecat.

    Attributes:
        app: the aiohttp application.
        ready: whether new requests are accepted.
    """

    def __init__(
        self,
        classifier: Classifier,
        name: str,
        guard: AccessControl,
        batcher: Batcher,
        pool: Executor,
        *,
        most_images: int,
        most_bytes: int,
        version: str,
    ) -> None:
        from aiohttp import web

        self.ready = True
        self._web = web
        self._classifier = classifier
        self._name = name
        self._guard = guard
        self._batcher = batcher
        self._pool = pool
        self._most_images = most_images
        self._most_bytes = most_bytes
        self._receiving = 0
        self._version = version
        self._metrics = ServiceMetrics(name, batcher)
        self.app = web.Application(middlewares=[self._guarded], client_max_size=most_bytes)
        self._add_routes()

    def _add_routes(self) -> None:
        model = f"/v2/models/{self._name}"
        router = self.app.router
        router.add_get("/v2", self._server)
        router.add_get("/v2/health/live", self._live)
        router.add_get("/v2/health/ready", self._is_ready)
        router.add_get("/metrics", self._scraped)
        router.add_post("/v2/repository/index", self._index)
        for place in (model, f"{model}/versions/{VERSION}"):
            router.add_get(place, self._metadata)
            router.add_get(f"{place}/ready", self._is_ready)
            router.add_post(f"{place}/infer", self._infer)

    @property
    def _guarded(self) -> Any:
        @self._web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            refusal = self._refusal(request)
            reply = refusal or await self._handled(request, handler)
            reply.headers.update(HEADERS)
            return reply

        return guarded

    def _refusal(self, request: web.Request) -> web.Response | None:
        if not self._guard.knows_host(request.headers.get("Host", "")):
            return error_reply(421, f"this is not {request.host!r}: it is {self._guard.url}")
        if is_foreign(request.headers) or "Origin" in request.headers:
            return error_reply(403, "requests from web pages are not allowed")
        if request.path in _OPEN or self._guard.admits(request.headers, {}):
            return None
        reply = error_reply(401, "the token is missing or wrong: send Authorization: Bearer TOKEN")
        reply.headers["WWW-Authenticate"] = 'Bearer realm="edgecat"'
        return reply

    async def _handled(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except self._web.HTTPRequestEntityTooLarge:
            return error_reply(413, f"the request is larger than {self._most_bytes} bytes")
        except self._web.HTTPException as error:
            known = f"/v2/models/{self._name}"
            return error_reply(error.status, f"{error.reason}: the model is at {known}")
        except asyncio.TimeoutError:
            return error_reply(408, f"the request did not arrive within {_BODY_SECONDS:.0f} s")
        except Overloaded:
            reply = error_reply(503, "too many requests wait: try again later")
            reply.headers["Retry-After"] = "1"
            return reply
        except (BadRequest, ImageError) as error:
            return error_reply(400, str(error))
        except EdgecatError as error:
            log.error("%s", error)
            return error_reply(500, str(error))

    async def _server(self, request: web.Request) -> web.Response:
        extensions = ["binary_tensor_data"]
        return json_reply({"name": "edgecat", "version": self._version, "extensions": extensions})

    async def _live(self, request: web.Request) -> web.Response:
        return self._web.Response()

    async def _is_ready(self, request: web.Request) -> web.Response:
        return self._web.Response(status=200 if self.ready else 503)

    async def _metadata(self, request: web.Request) -> web.Response:
        return json_reply(metadata(self._name, self._classifier.card))

    async def _index(self, request: web.Request) -> web.Response:
        state = "READY" if self.ready else "UNAVAILABLE"
        return json_reply([{"name": self._name, "version": VERSION, "state": state, "reason": ""}])

    async def _scraped(self, request: web.Request) -> web.Response:
        body, kind = self._metrics.text()
        return self._web.Response(body=body, headers={"Content-Type": kind})

    async def _infer(self, request: web.Request) -> web.Response:
        started = perf_counter()
        self._batcher.check(1)  # before the body is read
        wanted = self._read(request, await self._body(request))
        self._batcher.check(wanted.count)  # before images are decoded
        frames = wanted.frames if wanted.frames is not None else await self._decoded(wanted)
        logits = await self._batcher.infer(frames)
        found = [] if wanted.logits_only else [self._classifier.predict(row) for row in logits]
        body, length = response(self._name, wanted, logits, found)
        self._metrics.answered(perf_counter() - started)
        headers = {"Content-Type": "application/json"}
        if length is not None:
            headers = {"Content-Type": "application/octet-stream", JSON_LENGTH: str(length)}
        return self._web.Response(body=body, headers=headers)

    async def _body(self, request: web.Request) -> bytes:
        """The body; all that are being received take no more memory than a few of the largest."""
        most = self._most_bytes
        size = min(request.content_length or most, most)
        if self._receiving + size > _BODIES * most:
            self._batcher.counts.refused += 1
            raise Overloaded
        if request.content.is_eof():  # it came with its head
            return await request.read()
        self._receiving += size
        try:
            return await asyncio.wait_for(request.read(), _BODY_SECONDS)
        finally:
            self._receiving -= size

    def _read(self, request: web.Request, body: bytes) -> InferRequest:
        text = request.headers.get(JSON_LENGTH)
        if text is not None and not (text.isascii() and text.isdigit()):
            raise BadRequest(f"{JSON_LENGTH} is {text[:20]!r}; expected a number of bytes")
        length = None if text is None else int(text[:20])
        return read_request(body, length, self._classifier.card, most=self._most_images)

    async def _decoded(self, wanted: InferRequest) -> NDArray[np.uint8]:
        loop = asyncio.get_running_loop()
        jobs = [
            loop.run_in_executor(self._pool, self._fitted, data, number)
            for number, data in enumerate(wanted.images)
        ]
        return np.stack(await asyncio.gather(*jobs))

    def _fitted(self, data: bytes, number: int) -> NDArray[np.uint8]:
        return self._classifier.preprocess(decode_image(data, f"image {number}"))
