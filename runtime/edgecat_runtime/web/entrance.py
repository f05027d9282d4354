"""Admission of requests, and the responses to rejected ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgecat_runtime.web.access import AccessControl, is_foreign, is_own_origin
from edgecat_runtime.web.text import PAGE_401, PAGE_ENTER, json_text

if TYPE_CHECKING:
    from aiohttp import web

MOST_BODY = 4096
MOST_UPLOAD = 16_000_000


class Entrance:
    """Rejects requests that are not allowed, and exchanges the token for a cookie.

    Args:
        guard: knows the address, and the token.
    """

    def __init__(self, guard: AccessControl) -> None:
        self._guard = guard

    def refusal(self, request: web.Request, *, most: int = MOST_BODY) -> web.Response | None:
        """Return the response that rejects a request; None: it is admitted.

        Args:
            request: without its body.
            most: bytes that the body may have.
        """
        if not self._guard.knows_host(request.headers.get("Host", "")):
            return error_reply(421, f"this is not {request.host!r}: open {self._guard.url}")
        if is_foreign(request.headers):
            return error_reply(403, "requests from other sites are not allowed")
        if self._guard.token and request.path == "/" and "token" in request.query:
            return self._enter(request.query["token"])
        if not self._guard.admits(request.headers, request.cookies):
            return _unknown(page=request.path == "/")
        if (request.content_length or 0) > most:
            return too_large(most)
        if request.method == "POST" and not is_own_origin(request.headers):
            return error_reply(
                403, f"the Origin does not match this page; expected http://{request.host}"
            )
        return None

    def _enter(self, token: str) -> web.Response:
        """Exchange the token in the URL for a cookie and redirect to the clean URL.

        Through a page, not a 303: after a link on another site, SameSite=Strict would withhold the
        cookie along the whole chain of redirects.
        """
        from aiohttp import web

        if not self._guard.is_token(token):
            return _unknown(page=True)
        response = web.Response(
            text=PAGE_ENTER, content_type="text/html", headers={"Refresh": "0; url=/"}
        )
        response.set_cookie(self._guard.cookie, token, httponly=True, samesite="Strict")
        return response


def _unknown(*, page: bool) -> web.Response:
    from aiohttp import web

    headers = {"WWW-Authenticate": 'Bearer realm="edgecat"'}
    if page:
        return web.Response(status=401, text=PAGE_401, content_type="text/html", headers=headers)
    return error_reply(401, "the token is missing or wrong: open the URL that edgecat printed")


async def received(request: web.Request, most: int) -> bytes | None:
    """Read a body whose length may not have been announced; None if it is larger than `most`."""
    body = bytearray()
    async for chunk in request.content.iter_chunked(1 << 16):
        body += chunk
        if len(body) > most:
            return None
    return bytes(body)


def too_large(most: int) -> web.Response:
    """Reject a request with a large body."""
    return error_reply(413, f"the request is larger than {most} bytes")


def error_reply(status: int, sentence: str) -> web.Response:
    """Answer with an error and why."""
    return json_reply({"error": sentence}, status=status)


def json_reply(value: Any, *, status: int = 200) -> web.Response:
    """Answer with a value as JSON."""
    from aiohttp import web

    return web.Response(status=status, text=json_text(value), content_type="application/json")
