"""The request handlers: the page, its streams, status and buttons."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from edgecat_runtime.errors import BackendMissing, EdgecatError
from edgecat_runtime.model.status import Status
from edgecat_runtime.types import Image
from edgecat_runtime.web.access import HEADERS, AccessControl
from edgecat_runtime.web.connections import ANSWER_SECONDS, ConnectionLimiter
from edgecat_runtime.web.encoders import jpeg
from edgecat_runtime.web.entrance import (
    MOST_BODY,
    MOST_UPLOAD,
    Entrance,
    error_reply,
    json_reply,
    received,
    too_large,
)
from edgecat_runtime.web.files import page_files
from edgecat_runtime.web.loop_status import SAMPLE_SECONDS, CameraView, LoopStatus
from edgecat_runtime.web.metrics import exposition
from edgecat_runtime.web.panels import Panel
from edgecat_runtime.web.streams import Streams

if TYPE_CHECKING:
    from aiohttp import web

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger("edgecat_runtime")

_UPLOAD = "upload"
_UPLOADS = 4  # received at once


@dataclass(frozen=True)
class Controls:
    """What viewers may do.

    Attributes:
        stop: ends the loop; None: not allowed.
        sources: sources they may switch to, by name.
        switch: switches a camera to one of them; raises an EdgecatError if it cannot.
    """

    stop: Callable[[], None] | None
    sources: tuple[str, ...]
    switch: Callable[[int, str], None]


class Application:
    """The handlers; created and used in the server's event loop.

    Attributes:
        app: the aiohttp application.
    """

    def __init__(
        self,
        feed: LoopStatus,
        guard: AccessControl,
        controls: Controls,
        panels: tuple[Panel, ...],
        *,
        most_viewers: int,
    ) -> None:
        from aiohttp import web

        self._web = web
        self._feed = feed
        self._views = {str(view.camera.number): view for view in feed.views}
        self._entrance = Entrance(guard)
        self._controls = controls
        self._panels = {panel.name: panel for panel in panels}
        self._pool = ThreadPoolExecutor(1, "edgecat web pictures")
        self._acts = ThreadPoolExecutor(1, "edgecat web actions")
        self._streams = Streams(feed, self._pool, most=most_viewers)
        self._files = page_files(panels)
        self._receiving = asyncio.Semaphore(_UPLOADS)
        self._metrics: Callable[[], tuple[bytes, str]] | None = None
        self.app = self._application()

    @property
    def limiter(self) -> ConnectionLimiter:
        """What bounds the connections."""
        return self._streams.limiter

    @limiter.setter
    def limiter(self, limiter: ConnectionLimiter) -> None:
        self._streams.limiter = limiter

    def _application(self) -> web.Application:
        @self._web.middleware
        async def checked(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._checked(request, handler)

        app = self._web.Application(client_max_size=MOST_BODY, middlewares=[checked])
        app.on_response_prepare.append(_add_headers)
        app.cleanup_ctx.append(self._sampling)
        for path in self._files:
            app.router.add_get(path, self._file)
        app.router.add_get("/stream", self._stream, allow_head=False)
        app.router.add_get("/snapshot.jpg", self._take_snapshot)
        app.router.add_get("/events", self._events, allow_head=False)
        app.router.add_get("/api/status", self._status)
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/metrics", self._give_metrics)
        app.router.add_post("/api/stop", self._stop)
        app.router.add_post("/api/source", self._switch)
        app.router.add_get("/panels/{panel}/stream", self._stream_panel, allow_head=False)
        app.router.add_get("/panels/{panel}/file", self._give_file)
        app.router.add_post("/panels/{panel}/upload/{upload}", self._receive, name=_UPLOAD)
        app.router.add_post("/panels/{panel}/{action}", self._act)
        return app

    async def _checked(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Reject requests that are not allowed; every rejection and error is JSON or a page."""
        self.limiter.extend(request, ANSWER_SECONDS)
        most = MOST_UPLOAD if request.match_info.route.name == _UPLOAD else MOST_BODY
        if (refusal := self._entrance.refusal(request, most=most)) is not None:
            return refusal
        self.limiter.admit(request)
        try:
            response = await handler(request)
        except self._web.HTTPException as error:
            response = error_reply(error.status, error.reason)
        except EdgecatError as error:
            response = error_reply(400, str(error))
        except Exception as error:
            log.error("the web page failed to handle %s: %r", request.path, error)
            response = error_reply(500, "internal error; see edgecat's log")
        return response

    # The page and its streams.

    async def _file(self, request: web.Request) -> web.StreamResponse:
        body, content_type = self._files[request.path]
        return self._web.Response(body=body, content_type=content_type, charset="utf-8")

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        view = self._view(request)
        name = f"camera {view.camera.number}"
        return await self._streams.send_images(request, name, lambda: _newest_image(view))

    async def _stream_panel(self, request: web.Request) -> web.StreamResponse:
        panel, view = self._panel(request), request.query.get("view", "")
        picture = panel.views.get(view) if view else panel.picture
        if picture is None:
            raise self._web.HTTPNotFound
        name = f"the panel {panel.name} {view}".rstrip()
        return await self._streams.send_images(request, name, picture)

    def _view(self, request: web.Request) -> CameraView:
        """Return the camera given by the query's `camera`; by default the first one."""
        try:
            return self._views[request.query.get("camera", "0")]
        except KeyError:
            raise self._web.HTTPNotFound from None

    async def _events(self, request: web.Request) -> web.StreamResponse:
        hello = {
            "labels": self._feed.loop.classifier.labels[:32],
            "history": [list(view.history) for view in self._feed.views],
            "control": self._controls.stop is not None,
            "sources": self._controls.sources,
        }
        return await self._streams.send_events(request, hello)

    async def _sampling(self, app: web.Application) -> AsyncIterator[None]:
        """Record the recent history, watched or not; at the end disconnect everyone."""

        async def sample() -> None:
            while True:
                self._feed.sample()
                await asyncio.sleep(SAMPLE_SECONDS)

        task = asyncio.create_task(sample())
        app.on_shutdown.append(self._end)
        yield
        task.cancel()
        for pool in (self._pool, self._acts):
            pool.shutdown(wait=False, cancel_futures=True)

    async def _end(self, app: web.Application) -> None:
        self._streams.end()

    # Status and metrics.

    async def _take_snapshot(self, request: web.Request) -> web.StreamResponse:
        answer = self._view(request).newest
        if answer is None:
            return error_reply(503, "there is no image yet")
        loop = asyncio.get_running_loop()
        body = await loop.run_in_executor(self._pool, jpeg, answer.frame.image)
        moment = datetime.fromtimestamp(answer.frame.time).strftime("%Y%m%d-%H%M%S")
        return self._web.Response(
            body=body,
            content_type="image/jpeg",
            headers={"Content-Disposition": f'attachment; filename="edgecat-{moment}.jpg"'},
        )

    async def _status(self, request: web.Request) -> web.StreamResponse:
        return json_reply({**self._feed.status(), "viewers": self._streams.viewers})

    async def _health(self, request: web.Request) -> web.StreamResponse:
        state, frozen = self._feed.state, self._feed.frozen
        status = 200 if state is Status.LIVE and not frozen else 503
        silence = round(self._feed.silence, 2)
        return json_reply(
            {"state": state.value, "frozen": frozen, "silence_s": silence}, status=status
        )

    async def _give_metrics(self, request: web.Request) -> web.StreamResponse:
        try:
            self._metrics = self._metrics or exposition(self._feed, lambda: self._streams.viewers)
        except BackendMissing as error:
            return error_reply(501, str(error))
        text, content_type = self._metrics()
        return self._web.Response(body=text, headers={"Content-Type": content_type})

    # Buttons.

    async def _stop(self, request: web.Request) -> web.StreamResponse:
        if self._controls.stop is None:
            return error_reply(403, "not permitted: the operator did not set --web-control")
        self._controls.stop()
        return json_reply({"state": "stopped"})

    async def _switch(self, request: web.Request) -> web.StreamResponse:
        if not self._controls.sources:
            return error_reply(403, "the operator has given no sources with --web-source")
        camera = self._view(request).camera
        name = (await self._message(request)).get("source")
        if name not in self._controls.sources:
            return error_reply(400, f"source is {name!r}; expected one of {self._controls.sources}")
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._acts, self._controls.switch, camera.number, name)
        return json_reply({"source": name})

    async def _act(self, request: web.Request) -> web.StreamResponse:
        action = self._panel(request).actions.get(request.match_info["action"])
        if action is None:
            raise self._web.HTTPNotFound
        message = await self._message(request)
        loop = asyncio.get_running_loop()
        return json_reply(await loop.run_in_executor(self._acts, action, message))

    async def _give_file(self, request: web.Request) -> web.StreamResponse:
        give = self._panel(request).file
        if give is None:
            raise self._web.HTTPNotFound
        loop = asyncio.get_running_loop()
        body, content_type = await loop.run_in_executor(self._pool, give, dict(request.query))
        return self._web.Response(body=body, content_type=content_type)

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        upload = self._panel(request).uploads.get(request.match_info["upload"])
        if upload is None:
            raise self._web.HTTPNotFound
        async with self._receiving:
            if (body := await received(request, MOST_UPLOAD)) is None:
                return too_large(MOST_UPLOAD)
            loop = asyncio.get_running_loop()
            given = (body, dict(request.query))
            return json_reply(await loop.run_in_executor(self._acts, upload, *given))

    def _panel(self, request: web.Request) -> Panel:
        panel = self._panels.get(request.match_info["panel"])
        if panel is None:
            raise self._web.HTTPNotFound
        return panel

    async def _message(self, request: web.Request) -> dict[str, Any]:
        """Return the posted JSON object; responds with 400 if it is not one."""
        try:
            message = await request.json()
        except ValueError:
            message = None
        if not isinstance(message, dict):
            raise self._web.HTTPBadRequest(reason="the body is not a JSON object")
        return message


def _newest_image(view: CameraView) -> Image | None:
    return None if view.newest is None else view.newest.frame.image


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
    response.headers["Server"] = "edgecat"
    response.force_close()
