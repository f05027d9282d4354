"""Where a channel is published: a folder, or a web server that takes PUT."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from edgecat_runtime.camera.redaction import redacted
from edgecat_runtime.camera.sources.http import HttpClient, reason
from edgecat_runtime.errors import DeviceError, UserError
from edgecat_runtime.loop.fleet.origin import WEB, file_url
from edgecat_runtime.model.channel import LARGEST_MODEL
from edgecat_runtime.system.atomic import atomic_write

_SECONDS = 60.0
_MISSING = (404, 410)
_CHUNK = 1 << 20


class Place(Protocol):
    """A channel's folder, seen by its publisher."""

    name: str

    def read(self, file: str) -> bytes | None:
        """The bytes of a file; None if there is none.

        Raises:
            EdgecatError: it cannot be read.
        """
        ...

    def write(self, file: str, data: bytes) -> None:
        """Write a file: complete, or not at all.

        Raises:
            EdgecatError: it cannot be written.
        """
        ...


def open_place(text: str) -> Place:
    """Take a folder, `file://`, or an address whose server takes PUT.

    Raises:
        UserError: it is something else, such as `s3://`.
    """
    scheme = text.partition("://")[0].lower() if "://" in text else ""
    if scheme in WEB:
        return WebPlace(text)
    if scheme == "file":
        return FolderPlace(Path(unquote(urlsplit(text).path)))
    if scheme:
        raise UserError(
            f"{redacted(text)} cannot be published to; expected a folder, file://, or http(s):// "
            "of a server that takes PUT. Publish to a folder and copy it with the bucket's own "
            "tool, manifest.json last, such as aws s3 sync"
        )
    return FolderPlace(Path(text))


class FolderPlace:
    """A folder.

    Args:
        folder: created if missing.
    """

    def __init__(self, folder: Path) -> None:
        self.name = str(folder)
        self._folder = folder

    def read(self, file: str) -> bytes | None:
        """See `Place`."""
        try:
            return (self._folder / file).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UserError(f"cannot read {self._folder / file}: {error.strerror}") from error

    def write(self, file: str, data: bytes) -> None:
        """See `Place`."""
        atomic_write(self._folder / file, data)


class WebPlace:
    """A web server that stores what is PUT, such as one with WebDAV.

    Args:
        base: the address of the channel's folder, with the user and password if it needs them.
    """

    def __init__(self, base: str) -> None:
        self.name = redacted(base).rstrip("/")
        self._base = base

    def read(self, file: str) -> bytes | None:
        """See `Place`."""
        response = self._client(file).get(accept=_MISSING)
        try:
            if response.status in _MISSING:
                return None
            data = bytearray()
            while chunk := response.read1(_CHUNK):
                data += chunk
                if len(data) > LARGEST_MODEL:
                    raise DeviceError(f"{self.name}/{file} is larger than any model")
            return bytes(data)
        except (OSError, HTTPException, ValueError) as error:
            raise DeviceError(f"{self.name} disconnected: {reason(error)}") from error
        finally:
            response.close()

    def write(self, file: str, data: bytes) -> None:
        """See `Place`."""
        self._client(file).put(data, {"Content-Type": "application/octet-stream"})

    def _client(self, file: str) -> HttpClient:
        return HttpClient(file_url(self._base, file), f"{self.name}/{file}", _SECONDS)


def history(place: Place, newest: int, most: int = 1000) -> Iterator[tuple[str, bytes]]:
    """Earlier manifests of a channel, newest first: their names and bytes."""
    for sequence in range(newest, max(0, newest - most), -1):
        name = manifest_file(sequence)
        if (data := place.read(name)) is not None:
            yield name, data


def manifest_file(sequence: int) -> str:
    """Where a manifest is kept once there is a newer one."""
    return f"manifests/{sequence:08}.json"
