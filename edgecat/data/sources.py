"""Locations of the encoded images: walks folders and indexes tar files, without decoding."""

from __future__ import annotations

import os
import tarfile
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgecat_runtime.errors import UserError
from edgecat_runtime.images.places import is_junk

_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}


@dataclass(frozen=True)
class Entry:
    """One file or folder of a source, named by its path components below the root.

    A file's bytes are `path[offset : offset + size]`. `problem` says why an entry that is not a
    regular file cannot be read; it is empty for the others.
    """

    parts: tuple[str, ...]
    path: Path
    offset: int = 0
    size: int = 0
    is_folder: bool = False
    problem: str = ""


def folder_entries(root: Path) -> Iterator[Entry]:
    """Yield every file and folder below `root`, sorted by name, without junk files.

    Links to folders are followed; each folder is visited once.

    Raises:
        UserError: A folder cannot be listed.
    """
    yield from _walk(root, (), set())


def _walk(folder: Path, parts: tuple[str, ...], seen: set[tuple[int, int]]) -> Iterator[Entry]:
    try:
        status = folder.stat()
        with os.scandir(folder) as listing:
            found = sorted(listing, key=lambda item: item.name)
    except OSError as error:
        raise UserError(
            f"cannot list {folder} ({error.strerror}); expected a readable folder"
        ) from error
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    if parts:
        yield Entry(parts, folder, is_folder=True)
    for item in found:
        if is_junk(item.name):
            continue
        below = (*parts, printable(item.name))
        if item.is_dir():
            yield from _walk(folder / item.name, below, seen)
        elif item.is_file():
            yield Entry(below, folder / item.name, size=item.stat().st_size)
        else:
            yield Entry(below, folder / item.name, problem="is neither a file nor a folder")


def tar_entries(path: Path) -> Iterator[Entry]:
    """Yield every file and folder inside a plain tar by its byte offset, without junk files.

    Nothing is unpacked. If a name occurs twice the later file counts, as in unpacking.

    Raises:
        UserError: The file is compressed, truncated or not a tar.
    """
    _refuse_compressed(path)
    try:
        with tarfile.open(path, "r:", encoding="utf-8") as archive:
            members = {member.name: member for member in archive}
            _refuse_truncated(path, archive.offset)
    except (tarfile.TarError, OSError) as error:
        raise UserError(
            f"cannot read {path} as a tar ({error}); expected a folder or a complete .tar file"
        ) from error
    for member in members.values():
        parts = tuple(part for part in member.name.split("/") if part not in ("", "."))
        if parts and not any(map(is_junk, parts)):
            yield _tar_entry(path, tuple(map(printable, parts)), member)


def _tar_entry(path: Path, parts: tuple[str, ...], member: tarfile.TarInfo) -> Entry:
    if member.isdir():
        return Entry(parts, path, is_folder=True)
    if member.isreg() and not member.issparse():
        return Entry(parts, path, member.offset_data, member.size)
    return Entry(parts, path, problem="is a link or another special tar entry")


def _refuse_compressed(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(8)
    for magic, kind in _COMPRESSED.items():
        if start.startswith(magic):
            raise UserError(
                f"{path} is compressed ({kind}); expected a plain .tar, whose images can be "
                f"read in place. Unpack it and pass the folder or the .tar"
            )


def _refuse_truncated(path: Path, end: int) -> None:
    """Reject a tar whose members are not followed by the terminating zero block."""
    with path.open("rb") as file:
        file.seek(end)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise UserError(
                f"{path} is truncated or damaged after {end} bytes; expected another file or the "
                f"end of the tar there. Copy or download it again"
            )


def printable(name: str) -> str:
    """Return a file's name as NFC text that prints and hashes the same on every machine.

    macOS returns decomposed accents and Hangul; a name that is not UTF-8 is escaped.
    """
    if name.isascii():
        return name
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return unicodedata.normalize("NFC", text)
