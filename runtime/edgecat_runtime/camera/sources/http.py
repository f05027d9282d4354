"""HTTP as cameras speak it: GET with authentication, redirects, and one deadline for all of it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPConnection, HTTPException, HTTPResponse, InvalidURL
from threading import Timer
from time import perf_counter
from types import MappingProxyType
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from edgecat_runtime.camera.sources.http_auth import Credentials
from edgecat_runtime.errors import DeviceError, UserError

INSECURE = "https+insecure"
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 5
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))


@dataclass(frozen=True)
class _Place:
    """Where a request goes."""

    tls: bool
    host: str
    port: int
    path: str

    @classmethod
    def of(cls, parts: SplitResult) -> _Place:
        """Raises ValueError if the port is not a number."""
        tls = parts.scheme.lower() != "http"
        path = parts._replace(scheme="", netloc="", fragment="").geturl()
        path = quote(path if path.startswith("/") else f"/{path}", safe=_PRINTABLE)
        return cls(tls, parts.hostname or "", parts.port or (443 if tls else 80), path)

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{self.path}"


@dataclass(frozen=True)
class _Request:
    """What is requested."""

    method: str
    headers: Mapping[str, str]
    body: bytes | None = None


class HttpClient:
    """Requests one address, without a proxy.

    The user and password go to the host of the address only, also after a redirect, and never
    unencrypted if the address was `https`.

    Args:
        text: `http://`, `https://`, or `https+insecure://`, which trusts any certificate.
        name: used in messages.
        seconds: for a request, up to the end of the response's header.

    Raises:
        UserError: the address is not valid.
    """

    def __init__(self, text: str, name: str, seconds: float) -> None:
        self.name = name
        self._seconds = seconds
        self._connection: HTTPConnection | None = None
        try:
            parts = urlsplit(text)
            self._place = _Place.of(parts)
        except ValueError as error:
            raise _invalid(name) from error
        if not self._place.host:
            raise UserError(f"{name} has no host; expected http://host:port/path")
        self._insecure = parts.scheme.lower() == INSECURE
        self._credentials = Credentials(
            unquote(parts.username or ""), unquote(parts.password or "")
        )

    def get(
        self, headers: Mapping[str, str] = _NO_HEADERS, *, accept: Collection[int] = ()
    ) -> HTTPResponse:
        """Request the address and return the response, its body unread.

        Args:
            headers: more headers of the request.
            accept: statuses of errors that are returned instead of raised.

        Raises:
            DeviceError: there is no response in time, or it is an error.
            UserError: the address, user, password or certificate is rejected.
        """
        return self._sent(_Request("GET", headers), accept)

    def put(self, body: bytes, headers: Mapping[str, str] = _NO_HEADERS) -> None:
        """Store a body at the address; redirects are refused. Raises as `get`."""
        response = self._sent(_Request("PUT", headers, body), ())
        response.close()
        if response.status >= 300:
            raise DeviceError(
                f"{self.name} responded with {response.status} {response.reason} to a PUT"
            )

    def _sent(self, request: _Request, accept: Collection[int]) -> HTTPResponse:
        late = False

        def cut() -> None:
            nonlocal late
            late = True
            self.cancel()

        timer = Timer(self._seconds, cut)
        timer.daemon = True
        timer.start()
        start = perf_counter()
        try:
            response = self._followed(request)
            if late:  # cut short, a header looks complete
                response.close()
                raise TimeoutError
            return response if response.status in accept else self._checked(response)
        except (OSError, HTTPException, ValueError) as error:
            if late or isinstance(error, TimeoutError):
                raise DeviceError(
                    f"{self.name} has not responded within {perf_counter() - start:.3g} s"
                ) from error
            raise self._failure(error) from error
        finally:
            timer.cancel()

    def cancel(self) -> None:
        """Break the connection of a request that is under way in another thread."""
        sock = self._connection and self._connection.sock
        if sock:
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def _followed(self, request: _Request) -> HTTPResponse:
        place = self._place
        for _ in range(_MOST_REDIRECTS + 1):
            response = self._authorised(place, request)
            target = response.headers.get("Location")
            if response.status not in _REDIRECTS or not target or request.method != "GET":
                return response
            response.close()
            parts = urlsplit(urljoin(place.url, target))
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise DeviceError(f"{self.name} redirects to an address that is not HTTP")
            place = _Place.of(parts)
        raise DeviceError(f"{self.name} redirects more than {_MOST_REDIRECTS} times")

    def _authorised(self, place: _Place, request: _Request) -> HTTPResponse:
        response = self._requested(place, request)
        headers = response.headers.get_all("WWW-Authenticate", [])
        if response.status == 401 and self._trusts(place) and self._credentials.accept(headers):
            response.close()
            response = self._requested(place, request)
        return response

    def _trusts(self, place: _Place) -> bool:
        """Whether a place may see the password."""
        same = place.host == self._place.host and place.tls >= self._place.tls
        return same and bool(self._credentials)

    def _requested(self, place: _Place, request: _Request) -> HTTPResponse:
        headers = {"User-Agent": "edgecat", "Accept": "*/*", "Connection": "close"}
        headers |= request.headers
        method = request.method
        if self._trusts(place) and (answer := self._credentials.header(method, place.path)):
            headers["Authorization"] = answer
        connection: HTTPConnection
        if place.tls:
            context = self._unverified if place.host == self._place.host else self._verified
            connection = _Tls(place.host, place.port, timeout=self._seconds, context=context)
        else:
            connection = HTTPConnection(place.host, place.port, timeout=self._seconds)
        self._connection = connection
        try:
            connection.request(method, place.path, request.body, headers)
            return connection.getresponse()
        finally:
            self._connection = None
            if connection.sock:  # the response holds on to it; `close` would close both
                connection.sock.close()
                connection.sock = None

    def _checked(self, response: HTTPResponse) -> HTTPResponse:
        if response.status < 400:
            return response
        response.close()
        if response.status == 401 and self._credentials and self._credentials.offered:
            known = {"basic", "digest"} & set(self._credentials.offered)
            if not known:
                raise UserError(
                    f"{self.name} wants {', '.join(self._credentials.offered)} authentication; "
                    "expected Basic or Digest. Enable one of them in the camera's settings"
                )
        if response.status in (401, 403):
            raise UserError(
                f"{self.name} rejects the user or password ({response.status}); give them as "
                "http://user:password@host/path, with %40 for @"
            )
        raise DeviceError(f"{self.name} responded with {response.status} {response.reason}")

    def _failure(self, error: Exception) -> UserError | DeviceError:
        if isinstance(error, ssl.SSLCertVerificationError):
            return UserError(
                f"{self.name}: its certificate is not trusted ({error.verify_message}). Name a "
                f"file with its authority in SSL_CERT_FILE, or trust any: {INSECURE}://..."
            )
        if isinstance(error, (InvalidURL, ValueError)):  # its words quote the address
            return _invalid(self.name)
        if isinstance(error, (HTTPException, ssl.SSLError)):
            return DeviceError(f"{self.name} does not respond as a web server: {reason(error)}")
        return DeviceError(f"{self.name} cannot be reached: {reason(error)}")

    @cached_property
    def _verified(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    @cached_property
    def _unverified(self) -> ssl.SSLContext:
        """The context for the camera itself: cameras that sign for themselves are old, too."""
        if not self._insecure:
            return self._verified
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with suppress(ssl.SSLError, ValueError):
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
        return context


class _Tls(HTTPConnection):
    """HTTPS whose handshake can be cut short."""

    default_port = 443

    def __init__(self, host: str, port: int, *, timeout: float, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=timeout)
        self._tls = context

    def connect(self) -> None:
        super().connect()
        sock = self._tls.wrap_socket(
            self.sock, server_hostname=self.host, do_handshake_on_connect=False
        )
        self.sock = sock
        sock.do_handshake()


def reason(error: Exception) -> str:
    """Return an error's reason in words."""
    if isinstance(error, TimeoutError):
        return "timed out"
    text = error.strerror if isinstance(error, OSError) else ""
    return text or str(error) or type(error).__name__


def _invalid(name: str) -> UserError:
    return UserError(f"{name} is not a valid address; expected http://host:port/path")
