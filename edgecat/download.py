"""Downloads: cached, resumable, verified before use."""

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
_SILENCE = 30  # read timeout in seconds
MOST_BYTES = 16 << 30
_PAUSES = (1, 3)  # backoff in seconds


def fetch(
    url: str,
    *,
    digest: str,
    name: str = "",
    cache: Path | None = None,
    advice: str = "",
    on_progress: Progress = lambda done, total: None,
) -> Path:
    """Download a file once. A transfer cut short by a broken connection or Ctrl-C is resumed.

    Args:
        url: http or https; redirects are followed, proxies are taken from the environment.
        digest: the expected hash, such as `sha256:397923af`: an algorithm of hashlib and the
            hexadecimal digits, either all of them or at least the first eight.
        name: file name in the cache; default: the last part of the URL.
        cache: the folder; default: `cache_folder()`.
        advice: further advice for the error message, as a sentence.
        on_progress: called with the bytes received and, if known, the total.

    Returns:
        The verified file.

    Raises:
        UserError: no network, no such file, a hash mismatch, or a full disk.
    """
    target = (cache or cache_folder()) / (name or urlsplit(url).path.rpartition("/")[2])
    if _intact(target, digest):
        return target
    part = target.with_name(f"{target.name}.part")
    remedy = f"Download {url} manually to {target}{'. ' if advice else ''}{advice}"
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
        raise ValueError(f"digest is {digest!r}; expected an algorithm and at least 8 digits")
    return path.is_file() and hash_of(path, algorithm).startswith(wanted)


@contextmanager
def _opened(part: Path) -> Iterator[IO[bytes]]:
    """Open for appending with a lock: a second process waits, then finds the file complete."""
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
            if _is_open(part, file):
                file.seek(0, os.SEEK_END)
                yield file
                return


def _is_open(part: Path, file: IO[bytes]) -> bool:
    """Whether a path is still that of an open file: another process may have moved it away."""
    try:
        return os.path.samestat(part.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _lock(file: IO[bytes]) -> None:
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows
        return
    fcntl.flock(file, fcntl.LOCK_EX)


def _receive(url: str, file: IO[bytes], part: Path, remedy: str, on_progress: Progress) -> None:
    """Append the missing bytes; retry if the connection breaks."""
    pauses = list(_PAUSES)
    while reason := _attempt(url, file, part, remedy, on_progress):
        if not file.tell():
            raise UserError(f"cannot download {url} ({reason}). {remedy}")
        if not pauses:
            raise UserError(
                f"{url} was interrupted after {file.tell() / 1e6:.1f} MB ({reason}). "
                "Run the same command again to resume it"
            )
        time.sleep(pauses.pop(0))


def _attempt(url: str, file: IO[bytes], part: Path, remedy: str, on_progress: Progress) -> str:
    """Append to the file; return why it ended too early, or an empty string."""
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
        raise UserError(f"cannot download {url!r}; expected http:// or https://")
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
    """Interpret an HTTP error: already complete (416), retry (5xx), or no such file."""
    if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and file.tell():
        return ""
    if error.code >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        return f"the server responded with {error.code} {error.reason}"
    raise UserError(
        f"{url}: the server responded with {error.code} {error.reason}. {remedy}"
    ) from error


def _write(file: IO[bytes], chunk: bytes, part: Path) -> None:
    try:
        rest = memoryview(chunk)
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        raise write_error(part, error) from error


def _check(part: Path, digest: str, url: str, advice: str) -> None:
    """Remove the file and raise UserError if its hash is not the expected one."""
    if _intact(part, digest):
        return
    algorithm, _, wanted = digest.partition(":")
    got = hash_of(part, algorithm)[: len(wanted)]
    part.unlink()
    raise UserError(
        f"{url} has {algorithm} {got}; expected {wanted}. It was damaged in transit or is another "
        f"file, and was deleted. Run the same command again. {advice}".rstrip()
    )
