"""Access control of the page: address, token, Host and Origin."""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from edgecat_runtime.errors import UserError

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; object-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class Address:
    """Where to serve: `host` is a name or an IP address without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address_from_text(text: str, option: str = "--web") -> Address:
    """Parse `[HOST:]PORT`, as in `8080`, `0.0.0.0:8080` or `[::1]:8080`; `option` is for errors.

    Raises:
        UserError: the text is not a valid address.
    """
    match = re.fullmatch(r"(?:(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):)?([0-9]{1,5})", text)
    if match is None or int(match[2]) > 65535:
        raise UserError(
            f"{option} is {text!r}; expected [HOST:]PORT, such as 8080, 0.0.0.0:8080 or [::]:8080"
        )
    return Address((match[1] or "127.0.0.1").strip("[]"), int(match[2]))


def listen(address: Address, option: str = "--web") -> socket.socket:
    """Return a socket that listens on the address; `option` is for errors.

    Raises:
        UserError: the port is in use or forbidden, or the host is not one of this machine's.
    """
    try:
        family, *_, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _cannot_serve(address, error, option) from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Viewers inherit it: the kernel's buffer for a slow one holds stale images.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 17)
        sock.bind(place)
        sock.listen(128)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise _cannot_serve(address, error, option) from error
    return sock


def _cannot_serve(address: Address, error: Exception, option: str) -> UserError:
    reason = getattr(error, "strerror", None) or error
    return UserError(
        f"cannot serve at {address}: {reason}. Choose another port or host with {option}"
    )


class AccessControl:
    """Decides which requests are answered.

    Args:
        address: the requested address; its host is accepted in Host headers.
        sock: the listening socket; on a loopback address no token is needed.
        token: the required token; empty: a new one, if one is needed.
        names: other host names that are accepted, such as that of a proxy.

    Raises:
        UserError: one of them is not a host name.
    """

    def __init__(
        self, address: Address, sock: socket.socket, token: str = "", names: Sequence[str] = ()
    ) -> None:
        bound = ipaddress.ip_address(sock.getsockname()[0])
        self.port = int(sock.getsockname()[1])
        self.token = token or ("" if bound.is_loopback else secrets.token_urlsafe(32))
        self.cookie = f"edgecat-{self.port}"  # cookies are shared by all ports of a host
        self._any_ip = not bound.is_loopback
        self._hosts = {"localhost", "127.0.0.1", "::1", address.host.lower()}
        if not bound.is_loopback:
            name = socket.gethostname().lower()
            self._hosts |= {name, f"{name.partition('.')[0]}.local"}
        self._hosts |= {_host_name(given) for given in names}
        shown = _reachable(bound) if bound.is_unspecified else address.host
        self.url = f"http://{Address(shown, self.port)}/"

    @property
    def url_with_token(self) -> str:
        """The URL, with its token, that the operator opens."""
        return f"{self.url}?token={quote(self.token, safe='')}" if self.token else self.url

    def knows_host(self, host: str) -> bool:
        """Whether a Host header is this server's own.

        A foreign page whose name resolves to this address (DNS rebinding) sends its own name.
        """
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        return name in self._hosts or (self._any_ip and _is_ip(name))

    def is_token(self, token: str) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(token.encode(errors="replace"), self.token.encode())

    def admits(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> bool:
        """Whether a request carries the token: in the cookie, or as `Authorization: Bearer`."""
        scheme, _, bearer = headers.get("Authorization", "").partition(" ")
        given = bearer.strip() if scheme.lower() == "bearer" else cookies.get(self.cookie, "")
        return not self.token or self.is_token(given)


def is_own_origin(headers: Mapping[str, str]) -> bool:
    """Whether a request that changes something comes from the page itself."""
    origin = urlsplit(headers.get("Origin", ""))
    return origin.scheme in ("http", "https") and origin.netloc == headers.get("Host")


def is_foreign(headers: Mapping[str, str]) -> bool:
    """Whether another site's page requests part of this one; following a link to it is allowed."""
    crosses = headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
    return crosses and headers.get("Sec-Fetch-Mode") != "navigate"


def _host_name(given: str) -> str:
    name = given.lower().rstrip(".")
    if not re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", name):
        raise UserError(
            f"--web-name is {given!r}; expected a host name without scheme and port, such as "
            "camera.example"
        )
    return name


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _reachable(bound: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """This machine's address on the network, else its name; nothing is sent."""
    family, probe = (
        (socket.AF_INET, "192.0.2.1") if bound.version == 4 else (socket.AF_INET6, "2001:db8::1")
    )
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((probe, 9))
            return str(sock.getsockname()[0])
        except OSError:
            return socket.gethostname()
