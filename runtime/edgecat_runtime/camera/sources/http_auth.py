"""Basic and Digest authentication, by the best that a camera offers (RFC 7235, 7616, 7617)."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Iterable

_PARAMETER = r'([\w!#$%&\'*+.^`|~-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,"]+)'
_CHALLENGE = re.compile(rf"{_PARAMETER}|([\w!#$%&'*+.^`|~-]+)(?=[\s,]|$)")
_ALGORITHMS = {"SHA-512-256": "sha512_256", "SHA-256": "sha256", "MD5": "md5"}  # best first

Challenge = dict[str, str]


def challenges(headers: Iterable[str]) -> list[tuple[str, Challenge]]:
    """Return scheme, in lower case, and parameters of each challenge in WWW-Authenticate headers.

    Example:
        >>> challenges(['Negotiate, Digest realm="a, b", nonce=7'])
        [('negotiate', {}), ('digest', {'realm': 'a, b', 'nonce': '7'})]
    """
    found: list[tuple[str, Challenge]] = []
    for header in headers:
        for name, value, scheme in _CHALLENGE.findall(header):
            if scheme:
                found.append((scheme.lower(), {}))
            elif found:
                found[-1][1][name.lower()] = _unquoted(value)
    return found


class Credentials:
    """A user and a password, and how a server wants them.

    Attributes:
        offered: the schemes of the newest challenges, for messages.
    """

    def __init__(self, user: str, password: str) -> None:
        self._user, self._password = user, password
        self._scheme = ""
        self._challenge: Challenge = {}
        self._count = 0
        self.offered: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self._user)

    def accept(self, headers: Iterable[str]) -> bool:
        """Choose the strongest challenge that is understood; return whether there is one."""
        found = challenges(headers)
        self.offered = tuple(dict.fromkeys(scheme for scheme, _ in found))
        digests = [fields for scheme, fields in found if scheme == "digest"]
        for algorithm in _ALGORITHMS:
            for fields in digests:
                stated = fields.get("algorithm", "MD5").upper().removesuffix("-SESS")
                if stated == algorithm and "nonce" in fields and _hash(algorithm, "") is not None:
                    self._scheme, self._challenge, self._count = "digest", fields, 0
                    return True
        self._scheme = "basic" if "basic" in self.offered else ""
        return bool(self._scheme)

    def header(self, method: str, uri: str) -> str:
        """Return the value of the Authorization header; empty before a challenge."""
        if self._scheme == "basic":
            both = f"{self._user}:{self._password}".encode()
            return f"Basic {base64.b64encode(both).decode()}"
        return self._digest(method, uri) if self._scheme else ""

    def _digest(self, method: str, uri: str) -> str:
        fields = self._challenge
        stated = fields.get("algorithm", "MD5").upper()
        algorithm = stated.removesuffix("-SESS")
        realm, nonce, once = fields.get("realm", ""), fields["nonce"], secrets.token_hex(8)
        self._count += 1

        def digest(*parts: str) -> str:
            return _hash(algorithm, ":".join(parts)) or ""

        secret = digest(self._user, realm, self._password)
        if stated.endswith("-SESS"):
            secret = digest(secret, nonce, once)
        given = {"username": self._user, "realm": realm, "nonce": nonce, "uri": uri}
        plain = {"algorithm": fields["algorithm"]} if "algorithm" in fields else {}
        request = digest(method, uri)
        if "auth" in re.split(r"[\s,]+", fields.get("qop", "")):
            plain |= {"qop": "auth", "nc": f"{self._count:08x}"}
            given |= {"cnonce": once}
            given["response"] = digest(secret, nonce, plain["nc"], once, "auth", request)
        else:
            given["response"] = digest(secret, nonce, request)
        given |= {"opaque": fields["opaque"]} if "opaque" in fields else {}
        quoted = [f"{name}={_quoted(value)}" for name, value in given.items()]
        return (
            f"Digest {', '.join([*quoted, *(f'{name}={value}' for name, value in plain.items())])}"
        )


def _hash(algorithm: str, text: str) -> str | None:
    """Return the hash in hexadecimal; None where this Python lacks it."""
    try:
        return hashlib.new(_ALGORITHMS[algorithm], text.encode(), usedforsecurity=False).hexdigest()
    except ValueError:
        return None


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _quoted(value: str) -> str:
    escaped = re.sub(r'(["\\])', r"\\\1", value)
    return f'"{escaped}"'
