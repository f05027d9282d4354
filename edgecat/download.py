"""Files from the network: cached, resumed where they broke off, checked before they are used."""

from __future__ import annotations

import hashlib
import http
import http.client
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from edgecat._version import __version__
from edgecat_runtime.errors import UserError
from edgecat_runtime.system.atomic import write_error
from edgecat_runtime.system.cache import cache_folder

Progress = Callable[[int, int | None], None]

_CHUNK = 1 << 18
_SILENCE = 30  # seconds without a byte before a connection counts as broken
MOST_BYTES = 16 << 30
_PAUSES = (1, 3)  # seconds before another attempt


def fetch(
    url: str,
    *,
    digest: str,
    name: str = "",
    cache: Path | None = None,
    advice: str = "",
    on_progress: Progress = lambda done, total: None,
) -> Path:
    """Download a file once. What a broken connection or Ctrl-C leaves is gone on with.

    Args:
        url: http or https; redirections are followed, proxies taken from the environment.
        digest: what its bytes must hash to, `sha256:397923af`: an algorithm of hashlib and the
            hexadecimal digits, all of them or the first eight and more.
        name: of the file in the cache; default: the address' last part.
        cache: the folder; default: `cache_folder()`.
        advice: what else helps where it cannot be had, as a sentence for the error.
        on_progress: called with the bytes there are and, where known, those there will be.

    Returns:
        The file, checked.

    Raises:
        UserError: no network, no such file, other bytes than promised, or no room on the disk.
    """
    target = (cache or cache_folder()) / (name or urlsplit(url).path.rpartition("/")[2])
    if _intact(target, digest):
        return target
    part = target.with_name(f"{target.name}.part")
    remedy = f"Fetch {url} by hand and put it at {target}{'. ' if advice else ''}{advice}"
    with _opened(part) as file:
        if not _intact(target, digest):
            _receive(url, file, part, remedy, on_progress)
            _check(part, digest, url, advice)
            try:
                part.replace(target)
            except OSError as error:
                raise write_error(target, error) from error
    part.unlink(missing_ok=True)
    return target


def hash_of(path: Path, algorithm: str) -> str:
    """The hexadecimal hash of a file."""
    hashed = hashlib.new(algorithm)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            hashed.update(chunk)
    return hashed.hexdigest()


def _intact(path: Path, digest: str) -> bool:
    algorithm, _, wanted = digest.partition(":")
    if not re.fullmatch(r"[0-9a-f]{8,}", wanted):
        raise ValueError(f"digest is {digest!r}; expected an algorithm and 8 digits or more")
    return path.is_file() and hash_of(path, algorithm).startswith(wanted)


@contextmanager
def _opened(part: Path) -> Iterator[IO[bytes]]:
    """Open for appending, and alone: a second process waits, then finds the work done."""
    while True:
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
            handle = os.open(part, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)
            file = os.fdopen(handle, "ab", buffering=0)
        except OSError as error:
            raise write_error(part, error) from error
        with file:
            _lock(file)
            if part.exists() and os.path.samestat(part.stat(), os.fstat(file.fileno())):
                file.seek(0, os.SEEK_END)
                yield file
                return


def _lock(file: IO[bytes]) -> None:
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows
        return
    fcntl.flock(file, fcntl.LOCK_EX)


def _receive(url: str, file: IO[bytes], part: Path, remedy: str, on_progress: Progress) -> None:
    """Append what is missing, trying again where the connection breaks."""
    pauses = list(_PAUSES)
    while reason := _attempt(url, file, part, remedy, on_progress):
        if not file.tell():
            raise UserError(f"{url} cannot be fetched ({reason}). {remedy}")
        if not pauses:
            raise UserError(
                f"{url} broke off after {file.tell() / 1e6:.1f} MB ({reason}). "
                "Run the same command again: it goes on from there"
            )
        time.sleep(pauses.pop(0))


def _attempt(url: str, file: IO[bytes], part: Path, remedy: str, on_progress: Progress) -> str:
    """Append to the file; return why it ended too early, or nothing."""
    try:
        with _ask(url, file.tell()) as answer:
            if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
                file.seek(0)
                file.truncate()
            left = answer.headers.get("Content-Length", "")
            total = file.tell() + int(left) if re.fullmatch(r"\d{1,18}", left) else None
            _check_size(total or 0, url)
            while chunk := answer.read(_CHUNK):
                _check_size(file.tell() + len(chunk), url)
                _write(file, chunk, part)
                on_progress(file.tell(), total)
    except HTTPError as error:
        return _refused(error, url, file, remedy)
    except (URLError, http.client.HTTPException, OSError) as error:
        return str(getattr(error, "reason", error)) or type(error).__name__
    return "" if total is None or file.tell() >= total else "the connection was closed"


def _ask(url: str, start: int) -> http.client.HTTPResponse:
    if urlsplit(url).scheme not in ("http", "https"):
        raise UserError(f"the address {url!r} cannot be fetched; expected http:// or https://")
    headers = {"User-Agent": f"edgecat/{__version__}"}
    if start:
        headers["Range"] = f"bytes={start}-"
    opener = build_opener(_WebOnly())
    answer: http.client.HTTPResponse = opener.open(Request(url, headers=headers), timeout=_SILENCE)
    return answer


class _WebOnly(HTTPRedirectHandler):
    """Follows redirections to http and https alone, not to ftp."""

    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise UserError(
                f"{req.full_url} redirects to {newurl!r}; expected http:// or https://. Fetch the "
                "file by hand"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_size(size: int, url: str) -> None:
    if size > MOST_BYTES:
        raise UserError(
            f"{url} is larger than {MOST_BYTES >> 30} GB; expected a file of weights or images. "
            "Check the address"
        )


def _refused(error: HTTPError, url: str, file: IO[bytes], remedy: str) -> str:
    """What an HTTP error means: nothing is missing (416), try again (5xx), or no such file."""
    if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and file.tell():
        return ""
    if error.code >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        return f"the server answered {error.code} {error.reason}"
    raise UserError(f"{url}: the server answered {error.code} {error.reason}. {remedy}") from error


def _write(file: IO[bytes], chunk: bytes, part: Path) -> None:
    try:
        rest = memoryview(chunk)
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        raise write_error(part, error) from error


def _check(part: Path, digest: str, url: str, advice: str) -> None:
    """Remove the file, and say so, where its bytes are not the promised ones."""
    if _intact(part, digest):
        return
    algorithm, _, wanted = digest.partition(":")
    got = hash_of(part, algorithm)[: len(wanted)]
    part.unlink()
    raise UserError(
        f"{url} gave a file with {algorithm} {got}; expected {wanted}. It was damaged on the way "
        f"or is another file, and is deleted. Run the same command again. {advice}".rstrip()
    )
