"""Where a channel is: on a web server, or in a folder."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from time import monotonic
from typing import NamedTuple, Protocol
from urllib.parse import quote, unquote, urlsplit

from edgecat_runtime.camera.redaction import redacted
from edgecat_runtime.camera.sources.http import INSECURE, HttpClient, reason
from edgecat_runtime.errors import DeviceError, UserError
from edgecat_runtime.loop.fleet.decide import UpdateRefused
from edgecat_runtime.model.channel import LARGEST_MANIFEST, MANIFEST, Target
from edgecat_runtime.system.atomic import write_error

SILENCE = 30.0
"""Seconds without a byte, or without a manifest, after which an attempt ends."""

WEB = ("http", "https", INSECURE)
_CHUNK = 1 << 16
_OK, _PARTIAL, _SAME, _BEYOND = 200, 206, 304, 416

Stopped = Callable[[], bool]


class Fetched(NamedTuple):
    """A manifest's bytes, and what tells the next time that it is still the same."""

    data: bytes
    tag: str


class Origin(Protocol):
    """A channel's place."""

    name: str

    def manifest(self, tag: str = "") -> Fetched | None:
        """Fetch the manifest; None if it is still the one with this tag.

        Raises:
            DeviceError: it cannot be reached.
            UserError: the address, password or certificate is refused.
        """
        ...

    def fetch(self, target: Target, part: Path, stopped: Stopped) -> None:
        """Complete `part` with the rest of a file: at most as many bytes as it is to have.

        Raises:
            DeviceError: it cannot be reached, or ended early: what came is kept.
            UpdateRefused: it is larger than the manifest says, or the disk is full.
            UserError: the address, password or certificate is refused.
        """
        ...

    def cancel(self) -> None:
        """End what is under way in another thread, as soon as possible."""
        ...


def open_origin(text: str) -> Origin:
    """Take `http://`, `https://`, `https+insecure://`, `file://` or a folder.

    Raises:
        UserError: it is none of these.
    """
    scheme = text.partition("://")[0].lower() if "://" in text else ""
    if scheme in WEB:
        return WebOrigin(text)
    if scheme == "file":
        return FolderOrigin(Path(unquote(urlsplit(text).path)))
    if scheme:
        raise UserError(
            f"{redacted(text)} is not a channel; expected http://, https://, file:// or a folder"
        )
    return FolderOrigin(Path(text))


def file_url(base: str, file: str) -> str:
    """The address of a file of a channel: parameters, such as a bucket's token, stay."""
    parts = urlsplit(base)
    return parts._replace(path=f"{parts.path.rstrip('/')}/{quote(file)}", fragment="").geturl()


class WebOrigin:
    """A channel on a web server, requested without a proxy.

    Args:
        base: address of its folder, with the user and password if it needs them.

    Raises:
        UserError: the address is not valid.
    """

    def __init__(self, base: str) -> None:
        self.name = redacted(base)
        self._base = base
        self._client = self._open(MANIFEST)

    def manifest(self, tag: str = "") -> Fetched | None:
        """See `Origin`."""
        client = self._client = self._open(MANIFEST)
        response = client.get({"If-None-Match": tag} if tag else {}, accept=(_SAME,))
        try:
            if response.status == _SAME:
                return None
            found = response.headers.get("ETag", "")
            return Fetched(self._body(response), found if found.isprintable() else "")
        finally:
            response.close()

    def fetch(self, target: Target, part: Path, stopped: Stopped) -> None:
        """See `Origin`."""
        tagged = part.with_name(f"{part.name}.etag")
        have = part.stat().st_size if part.is_file() else 0
        if have == target.size:
            return
        headers = {}
        if 0 < have < target.size:
            headers["Range"] = f"bytes={have}-"
            with suppress(OSError):
                headers["If-Range"] = tagged.read_text(encoding="ascii")
        client = self._client = self._open(target.file)
        response = client.get(headers, accept=(_BEYOND,))
        try:
            start = _start(response, have, target.size)
            if start is None:
                part.unlink(missing_ok=True)
                raise DeviceError(f"{self.name} resumed at another place; starting again")
            _check_length(response, start, target)
            if not start:
                _remember(response.headers.get("ETag", ""), tagged)
            _write(self._chunks(response), part, start, target, stopped)
            tagged.unlink(missing_ok=True)
        finally:
            response.close()
            if not part.is_file():
                tagged.unlink(missing_ok=True)

    def cancel(self) -> None:
        """See `Origin`."""
        self._client.cancel()

    def _open(self, file: str) -> HttpClient:
        return HttpClient(file_url(self._base, file), f"{self.name.rstrip('/')}/{file}", SILENCE)

    def _body(self, response: HTTPResponse) -> bytes:
        deadline = monotonic() + SILENCE
        body = bytearray()
        for chunk in self._chunks(response):
            body += chunk
            if len(body) > LARGEST_MANIFEST:
                break  # refused where it is read
            if monotonic() > deadline:
                raise DeviceError(f"{self.name} sends its manifest too slowly")
        return bytes(body)

    def _chunks(self, response: HTTPResponse) -> Iterator[bytes]:
        try:
            while data := response.read1(_CHUNK):
                yield data
        except (OSError, HTTPException, ValueError) as error:
            raise DeviceError(f"{self.name} disconnected: {reason(error)}") from error


class FolderOrigin:
    """A channel in a folder: a mounted disk, a USB stick.

    Args:
        folder: it.
    """

    def __init__(self, folder: Path) -> None:
        self.name = str(folder)
        self._folder = folder

    def manifest(self, tag: str = "") -> Fetched | None:
        """See `Origin`."""
        try:
            with (self._folder / MANIFEST).open("rb") as file:
                data = file.read(LARGEST_MANIFEST + 1)
        except OSError as error:
            raise self._unreadable(MANIFEST, error) from error
        found = hashlib.sha256(data).hexdigest()
        return None if found == tag else Fetched(data, found)

    def fetch(self, target: Target, part: Path, stopped: Stopped) -> None:
        """See `Origin`."""
        _write(self._chunks(target.file), part, 0, target, stopped)

    def cancel(self) -> None:
        """See `Origin`."""

    def _chunks(self, name: str) -> Iterator[bytes]:
        try:
            with (self._folder / name).open("rb") as file:
                while data := file.read(_CHUNK):
                    yield data
        except OSError as error:
            raise self._unreadable(name, error) from error

    def _unreadable(self, file: str, error: OSError) -> DeviceError:
        why = error.strerror or str(error)
        return DeviceError(f"cannot read {self._folder / file}: {why}")


def _start(response: HTTPResponse, have: int, size: int) -> int | None:
    """Where the response's first byte belongs: after what is there, or at the beginning.

    None if it is neither.
    """
    if response.status == _PARTIAL:
        stated = re.fullmatch(
            r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "")
        )
        fits = stated and int(stated[1]) == have and stated[2] in (str(size), "*")
        return have if fits else None
    return 0 if response.status == _OK else None


def _check_length(response: HTTPResponse, start: int, target: Target) -> None:
    stated = response.headers.get("Content-Length", "")
    if re.fullmatch(r"\d{1,18}", stated) and start + int(stated) != target.size:
        raise UpdateRefused(
            "size",
            f"{target.file} has {start + int(stated)} bytes on the server; the manifest says "
            f"{target.size}",
            sha256=target.sha256,
        )


def _remember(tag: str, file: Path) -> None:
    """Keep a strong validator: a weak one does not promise the same bytes (RFC 9110, 13.1.5)."""
    file.unlink(missing_ok=True)
    if re.fullmatch(r'"[\x21\x23-\x7e]{1,200}"', tag):
        file.write_text(tag, encoding="ascii")


def _write(
    chunks: Iterator[bytes], part: Path, start: int, target: Target, stopped: Stopped
) -> None:
    have = start
    try:
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            for chunk in chunks:
                have += len(chunk)
                if have > target.size:
                    break
                file.write(chunk)
                if stopped():
                    raise DeviceError("the download was stopped")
    except OSError as error:
        why = str(write_error(part, error))
        raise UpdateRefused("disk", why, sha256=target.sha256) from error
    if have > target.size:
        part.unlink(missing_ok=True)
        raise UpdateRefused(
            "size",
            f"{target.file} is larger than the {target.size} bytes that the manifest says",
            sha256=target.sha256,
        )
    if have < target.size:
        raise DeviceError(f"{target.file} ended after {have} of {target.size} bytes")
