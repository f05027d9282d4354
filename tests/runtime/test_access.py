"""Access control of the web page: Host, token, Origin and cross-site requests."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from urllib.parse import parse_qsl, urlsplit

import pytest

from edgecat_runtime.errors import UserError
from edgecat_runtime.web.access import (
    AccessControl,
    Address,
    address_from_text,
    is_foreign,
    is_own_origin,
    listen,
)


@pytest.fixture
def guard() -> Iterator[Callable[..., AccessControl]]:
    """`guard(host, named=, token=, names=)` on a listening socket with a free port."""
    listening: list[socket.socket] = []

    def make(
        host: str = "127.0.0.1", *, named: str = "", token: str = "", names: tuple[str, ...] = ()
    ) -> AccessControl:
        listening.append(listen(Address(host, 0)))
        return AccessControl(Address(named or host, 0), listening[-1], token, names)

    yield make
    for each in listening:
        each.close()


NAME = socket.gethostname().lower()


@pytest.mark.parametrize(
    ("host", "on_loopback", "on_all"),
    [
        ("localhost", True, True),
        ("LOCALHOST:8080", True, True),
        ("localhost.", True, True),
        ("127.0.0.1:1", True, True),
        ("[::1]:9", True, True),
        ("192.168.1.7:80", False, True),
        ("[fe80::1]", False, True),
        (NAME, NAME == "localhost", True),
        (f"{NAME.partition('.')[0]}.local", False, True),
        ("", False, False),
        ("[::1", False, False),
        ("evil.example", False, False),
        ("127.0.0.1.evil.example", False, False),
        ("evil.example:127.0.0.1", False, False),
    ],
)
def test_host_headers(
    guard: Callable[..., AccessControl], host: str, on_loopback: bool, on_all: bool
) -> None:
    assert guard().knows_host(host) is on_loopback
    assert guard("0.0.0.0").knows_host(host) is on_all


def test_the_configured_host_name_is_accepted(guard: Callable[..., AccessControl]) -> None:
    assert guard(named="MyCam").knows_host("mycam:1")
    assert not guard().knows_host("mycam:1")


@pytest.mark.parametrize(
    ("names", "host", "known"),
    [
        (("Cam.Example",), "cam.example", True),
        (("cam.example.",), "CAM.example:8443", True),
        (("a", "b-c"), "b-c:1", True),
        (("cam.example",), "evil.cam.example", False),
        (("cam.example",), "localhost", True),
        ((), "cam.example", False),
    ],
)
def test_the_page_may_have_other_names(
    guard: Callable[..., AccessControl], names: tuple[str, ...], host: str, known: bool
) -> None:
    assert guard(names=names).knows_host(host) is known


@pytest.mark.parametrize("name", ["", "*", "https://cam.example", "cam.example:8443", "a b", ".x"])
def test_what_is_no_host_name_is_said(guard: Callable[..., AccessControl], name: str) -> None:
    with pytest.raises(
        UserError, match="--web-name is .*expected a host name without scheme and port"
    ):
        guard(names=(name,))


def test_only_loopback_needs_no_token(guard: Callable[..., AccessControl]) -> None:
    near, far, other = guard(), guard("0.0.0.0"), guard("0.0.0.0")
    assert (near.token, near.url, near.url_with_token) == ("", near.url, near.url)
    assert near.url == f"http://127.0.0.1:{near.port}/"
    assert len(far.token) == len(other.token) == 43
    assert far.token != other.token
    assert far.url_with_token == f"{far.url}?token={far.token}"
    assert not far.url.startswith("http://0.0.0.0"), "not an address a browser can open"
    assert guard(token="mine").url_with_token.endswith("/?token=mine")
    odd = guard(token="a b&c=d#e+f%/é").url_with_token
    assert dict(parse_qsl(urlsplit(odd).query)) == {"token": "a b&c=d#e+f%/é"}
    assert near.cookie == f"edgecat-{near.port}"


@pytest.mark.parametrize(
    ("headers", "cookie", "admitted"),
    [
        ({}, None, False),
        ({}, "s3cret", True),
        ({}, "s3cre", False),
        ({}, "", False),
        ({"Authorization": "Bearer s3cret"}, None, True),
        ({"Authorization": "bearer  s3cret "}, None, True),
        ({"Authorization": "Basic s3cret"}, None, False),
        ({"Authorization": "s3cret"}, None, False),
        ({"Authorization": "Bearer wrong"}, "s3cret", False),
        ({"Authorization": "Basic dTpw"}, "s3cret", True),
    ],
)
def test_token_in_cookie_or_header(
    guard: Callable[..., AccessControl], headers: dict[str, str], cookie: str | None, admitted: bool
) -> None:
    made = guard(token="s3cret")
    cookies = {} if cookie is None else {made.cookie: cookie}
    assert made.admits(headers, cookies) is admitted
    assert not made.admits({}, {"edgecat-1": "s3cret"}), "a cookie of another port"
    assert guard().admits(headers, {}), "no token required"


@pytest.mark.parametrize(
    ("origin", "own"),
    [
        ("http://cam:8080", True),
        ("https://cam:8080", True),  # behind a TLS proxy
        ("http://cam", False),
        ("http://cam:80800", False),
        ("http://evil.example", False),
        ("ftp://cam:8080", False),
        ("null", False),
        ("", False),
        (None, False),
    ],
)
def test_origin_must_match_host(origin: str | None, own: bool) -> None:
    headers = {"Host": "cam:8080"} | ({} if origin is None else {"Origin": origin})
    assert is_own_origin(headers) is own
    assert not is_own_origin({}), "neither Host nor Origin"


@pytest.mark.parametrize(
    ("site", "mode", "foreign"),
    [
        ("cross-site", "no-cors", True),
        ("same-site", "no-cors", True),
        ("cross-site", "navigate", False),
        ("same-site", "navigate", False),
        ("same-origin", "cors", False),
        ("none", "navigate", False),
        (None, None, False),  # not a browser, or an old one
        ("cross-site", None, True),
    ],
)
def test_cross_site_requests(site: str | None, mode: str | None, foreign: bool) -> None:
    given = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
    headers = {name: value for name, value in given.items() if value is not None}
    assert is_foreign(headers) is foreign


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0", Address("127.0.0.1", 0)),
        ("65535", Address("127.0.0.1", 65535)),
        ("[::]:80", Address("::", 80)),
        ("cam-1.lan:80", Address("cam-1.lan", 80)),
    ],
)
def test_addresses_are_read(text: str, address: Address) -> None:
    assert address_from_text(text) == address
