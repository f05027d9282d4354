"""Requests that are no HTTP: aiohttp answers them itself, without asking the application."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, Any

from edgecat_runtime.web.access import HEADERS
from edgecat_runtime.web.entrance import error_reply

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger("edgecat_runtime")


@cache
def request_handler() -> type[web.RequestHandler]:
    """Return the protocol of a connection whose errors are those of the page.

    Anyone who reaches the port can send nonsense, so it is no error of ours: the response has the
    headers of every other, tells nothing of the server, and the log has no traceback.
    """
    from aiohttp import web

    class Handler(web.RequestHandler):
        __slots__ = ()

        def handle_error(
            self,
            request: web.BaseRequest,
            status: int = 500,
            exc: BaseException | None = None,
            message: str | None = None,
        ) -> web.StreamResponse:
            level = logging.DEBUG if status < 500 else logging.ERROR
            log.log(level, "the web page failed to handle a request: %r", exc)
            if request.writer.output_size > 0:
                raise ConnectionError("the response has begun already")
            sentence = "the request is not valid HTTP" if status < 500 else "internal error"
            response = error_reply(status, sentence)
            response.headers.update(HEADERS)
            response.headers["Server"] = "edgecat"
            response.force_close()
            return response

        def log_exception(self, *arguments: Any, **options: Any) -> None:
            log.error("the web page: %s: %r", arguments[0], options.get("exc_info"))

    return Handler
