"""What the server answers: the page, its streams, figures and buttons."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import datetime
from time import time
from typing import TYPE_CHECKING, Any

from edgecat_runtime.errors import BackendMissing, EdgecatError
from edgecat_runtime.types import Image
from edgecat_runtime.web.broadcast import Broadcast, Produce
from edgecat_runtime.web.connections import ANSWER_SECONDS, Doorman
from edgecat_runtime.web.feed import SAMPLE_SECONDS, CameraView, Feed
from edgecat_runtime.web.files import page_files
from edgecat_runtime.web.guard import HEADERS, Guard, is_foreign, is_own_origin
from edgecat_runtime.web.metrics import exposition
from edgecat_runtime.web.panels import Panel
from edgecat_runtime.web.pictures import RATE, RATES, WIDTH, WIDTHS, Encoders, choice, jpeg
from edgecat_runtime.web.text import PAGE_401, PAGE_ENTER, json_text

if TYPE_CHECKING:
    from aiohttp import web

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger("edgecat_runtime")

MOST_BODY = 4096
_NEWS_SECONDS = 0.2
_FIGURES_EVERY = 5
_BOUNDARY = b"--frame\r\n"


@dataclass(frozen=True)
class Controls:
    """What viewers may do.

    Attributes:
        stop: ends the loop; None: they may not.
        sources: that they may switch to, by name.
        switch: switches a camera to one of them; raises an EdgecatError where it cannot.
    """

    stop: Callable[[], None] | None
    sources: tuple[str, ...]
    switch: Callable[[int, str], None]


class Application:
    """The handlers; made and used in the server's event loop.

    Attributes:
        app: for aiohttp.
        doorman: set by the server before the first request.
    """

    doorman: Doorman

    def __init__(
        self,
        feed: Feed,
        guard: Guard,
        controls: Controls,
        panels: tuple[Panel, ...],
        *,
        most_viewers: int,
    ) -> None:
        from aiohttp import web

        self._web = web
        self._feed = feed
        self._views = {str(view.camera.number): view for view in feed.views}
        self._guard = guard
        self._controls = controls
        self._panels = {panel.name: panel for panel in panels}
        self._most_viewers = most_viewers
        self._viewers = 0
        self._readers = 0
        self._pool = ThreadPoolExecutor(1, "edgecat web pictures")
        self._acts = ThreadPoolExecutor(1, "edgecat web actions")
        self._encoders = Encoders(self._pool)
        self._news = Broadcast("the page's figures", self._start_news, _NEWS_SECONDS)
        self._files = page_files(panels)
        self._metrics: Callable[[], tuple[bytes, str]] | None = None
        self.app = self._application()

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
        app.router.add_post("/panels/{panel}/{action}", self._act)
        return app

    # Who may ask.

    async def _checked(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what is not for us to answer; every refusal and error is JSON or a page."""
        self.doorman.extend(request, ANSWER_SECONDS)
        if (refusal := self._refusal(request)) is not None:
            return refusal
        try:
            response = await handler(request)
        except self._web.HTTPException as error:
            response = self._error(error.status, error.reason)
        except EdgecatError as error:
            response = self._error(400, str(error))
        except Exception as error:
            log.error("the web page could not answer %s: %r", request.path, error)
            response = self._error(500, "edgecat failed; its log says how")
        return response

    def _refusal(self, request: web.Request) -> web.Response | None:
        if not self._guard.knows_host(request.headers.get("Host", "")):
            return self._error(421, f"this is not {request.host!r}: open {self._guard.url}")
        if is_foreign(request.headers):
            return self._error(403, "another site's page may not ask for this")
        if self._guard.token and request.path == "/" and "token" in request.query:
            return self._enter(request.query["token"])
        if not self._guard.admits(request.headers, request.cookies):
            return self._unknown(page=request.path == "/")
        if (request.content_length or 0) > MOST_BODY:
            return self._error(413, f"the request is larger than {MOST_BODY} bytes")
        if request.method == "POST" and not is_own_origin(request.headers):
            return self._error(
                403, f"the Origin is not this page's; expected http://{request.host}"
            )
        return None

    def _enter(self, token: str) -> web.Response:
        """Trade the token in the address for a cookie and go on to the clean address.

        By a page, not a 303: of a link on another site SameSite=Strict would hold the cookie back
        all along a chain of redirects.
        """
        if not self._guard.is_token(token):
            return self._unknown(page=True)
        response = self._web.Response(
            text=PAGE_ENTER, content_type="text/html", headers={"Refresh": "0; url=/"}
        )
        response.set_cookie(self._guard.cookie, token, httponly=True, samesite="Strict")
        return response

    def _unknown(self, *, page: bool) -> web.Response:
        headers = {"WWW-Authenticate": 'Bearer realm="edgecat"'}
        if page:
            return self._web.Response(
                status=401, text=PAGE_401, content_type="text/html", headers=headers
            )
        return self._error(401, "the token is missing or wrong: open the address that edgecat gave")

    def _error(self, status: int, sentence: str) -> web.Response:
        return self._json({"error": sentence}, status=status)

    def _json(self, value: Any, *, status: int = 200) -> web.Response:
        return self._web.Response(
            status=status, text=json_text(value), content_type="application/json"
        )

    # The page and its streams.

    async def _file(self, request: web.Request) -> web.StreamResponse:
        body, content_type = self._files[request.path]
        return self._web.Response(body=body, content_type=content_type, charset="utf-8")

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        view = self._view(request)
        name = f"camera {view.camera.number}"
        return await self._send_pictures(request, name, lambda: _newest_image(view))

    async def _stream_panel(self, request: web.Request) -> web.StreamResponse:
        panel = self._panel(request)
        if panel.picture is None:
            raise self._web.HTTPNotFound
        return await self._send_pictures(request, f"the panel {panel.name}", panel.picture)

    def _view(self, request: web.Request) -> CameraView:
        """Return what the query's `camera` names; the first one without it."""
        try:
            return self._views[request.query.get("camera", "0")]
        except KeyError:
            raise self._web.HTTPNotFound from None

    async def _send_pictures(
        self, request: web.Request, name: str, picture: Callable[[], Image | None]
    ) -> web.StreamResponse:
        """Send JPEG pictures (multipart/x-mixed-replace) until someone ends it."""
        try:
            width = choice(request.query.get("width"), WIDTHS, WIDTH)
            rate = choice(request.query.get("fps"), RATES, RATE)
        except ValueError:
            return self._error(400, f"width and fps are numbers, such as width={WIDTH}&fps={RATE}")
        if self._viewers >= self._most_viewers:
            return self._error(503, f"{self._most_viewers} viewers are watching: there is no place")
        self._viewers += 1
        try:
            broadcast = self._encoders.broadcast(name, picture, width, rate)
            response = self._web.StreamResponse(
                headers={"Content-Type": "multipart/x-mixed-replace; boundary=frame"}
            )
            await self._send_all(request, response, broadcast, _part, first=_BOUNDARY)
        finally:
            self._viewers -= 1
        return response

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: `hello` once, with the last minutes; then `news`; at last `end`."""
        if self._readers >= self._most_viewers:
            return self._error(503, f"{self._most_viewers} viewers are watching: there is no place")
        self._readers += 1
        try:
            response = self._web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            hello = f"retry: 1000\n\nevent: hello\ndata: {json_text(self._hello())}\n\n".encode()
            await self._send_all(request, response, self._news, bytes, first=hello)
            with suppress(ConnectionError):
                await self.doorman.send(request, response, b"event: end\ndata: {}\n\n")
        finally:
            self._readers -= 1
        return response

    async def _send_all(
        self,
        request: web.Request,
        response: web.StreamResponse,
        broadcast: Broadcast,
        wrap: Callable[[bytes], bytes],
        *,
        first: bytes,
    ) -> None:
        self.doorman.extend(request, None)
        response.force_close()
        with suppress(ConnectionError):
            await response.prepare(request)
            await self.doorman.send(request, response, first)
            async with aclosing(broadcast.watch()) as values:
                async for value in values:
                    await self.doorman.send(request, response, wrap(value))

    def _start_news(self) -> Produce:
        turn = 0
        figures: dict[str, Any] = {}

        async def produce() -> bytes:
            nonlocal turn, figures
            if turn % _FIGURES_EVERY == 0:
                figures = self._feed.figures()
            turn += 1
            return f"event: news\ndata: {json_text({**self._news_now(), **figures})}\n\n".encode()

        return produce

    def _news_now(self) -> dict[str, Any]:
        return {
            "now": round(time(), 2),
            "viewers": self._viewers,
            "engine": self._feed.engine(),
            "cameras": self._feed.cameras(),
        }

    def _hello(self) -> dict[str, Any]:
        return {
            **self._news_now(),
            **self._feed.figures(),
            "labels": self._feed.loop.classifier.labels[:32],
            "history": [list(view.history) for view in self._feed.views],
            "control": self._controls.stop is not None,
            "sources": self._controls.sources,
        }

    async def _sampling(self, app: web.Application) -> AsyncIterator[None]:
        """Keep the last minutes, watched or not; at the end let go of everyone."""

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
        self._news.put(None)
        self._encoders.end()

    # Figures.

    async def _take_snapshot(self, request: web.Request) -> web.StreamResponse:
        answer = self._view(request).newest
        if answer is None:
            return self._error(503, "there is no picture yet")
        loop = asyncio.get_running_loop()
        body = await loop.run_in_executor(self._pool, jpeg, answer.frame.image)
        moment = datetime.fromtimestamp(answer.frame.time).strftime("%Y%m%d-%H%M%S")
        return self._web.Response(
            body=body,
            content_type="image/jpeg",
            headers={"Content-Disposition": f'attachment; filename="edgecat-{moment}.jpg"'},
        )

    async def _status(self, request: web.Request) -> web.StreamResponse:
        return self._json({**self._feed.status(), "viewers": self._viewers})

    async def _health(self, request: web.Request) -> web.StreamResponse:
        state = self._feed.state
        status = 200 if state == "live" else 503
        return self._json(
            {"state": state, "silence_s": round(self._feed.silence, 2)}, status=status
        )

    async def _give_metrics(self, request: web.Request) -> web.StreamResponse:
        try:
            self._metrics = self._metrics or exposition(self._feed, lambda: self._viewers)
        except BackendMissing as error:
            return self._error(501, str(error))
        text, content_type = self._metrics()
        return self._web.Response(body=text, headers={"Content-Type": content_type})

    # Buttons.

    async def _stop(self, request: web.Request) -> web.StreamResponse:
        if self._controls.stop is None:
            return self._error(403, "the operator did not allow it: --web-control does")
        self._controls.stop()
        return self._json({"state": "stopped"})

    async def _switch(self, request: web.Request) -> web.StreamResponse:
        if not self._controls.sources:
            return self._error(403, "the operator named no sources to switch to: --web-source does")
        camera = self._view(request).camera
        name = (await self._message(request)).get("source")
        if name not in self._controls.sources:
            return self._error(400, f"source is {name!r}; expected one of {self._controls.sources}")
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._acts, self._controls.switch, camera.number, name)
        return self._json({"source": name})

    async def _act(self, request: web.Request) -> web.StreamResponse:
        action = self._panel(request).actions.get(request.match_info["action"])
        if action is None:
            raise self._web.HTTPNotFound
        message = await self._message(request)
        loop = asyncio.get_running_loop()
        return self._json(await loop.run_in_executor(self._acts, action, message))

    def _panel(self, request: web.Request) -> Panel:
        panel = self._panels.get(request.match_info["panel"])
        if panel is None:
            raise self._web.HTTPNotFound
        return panel

    async def _message(self, request: web.Request) -> dict[str, Any]:
        """Return the JSON object that was posted; 400 where it is none."""
        try:
            message = await request.json()
        except ValueError:
            message = None
        if not isinstance(message, dict):
            raise self._web.HTTPBadRequest(reason="the body is no JSON object")
        return message


def _newest_image(view: CameraView) -> Image | None:
    return None if view.newest is None else view.newest.frame.image


def _part(picture: bytes) -> bytes:
    """One picture and the next one's boundary, without which browsers wait before they show it."""
    head = f"Content-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n".encode()
    return head + picture + b"\r\n" + _BOUNDARY


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
    response.headers["Server"] = "edgecat"
    response.force_close()
