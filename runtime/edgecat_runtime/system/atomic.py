"""Atomic file writes: the file is complete or does not exist."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from edgecat_runtime.errors import UserError
from edgecat_runtime.system.temporaries import reserve_file, reserve_folder

_REASONS = {
    errno.ENOSPC: "the disk is full. Free some space or choose another location",
    errno.EDQUOT: "your disk quota is used up. Free some space or choose another location",
    errno.EACCES: "permission denied. Choose a writable location",
    errno.EPERM: "permission denied. Choose a writable location",
    errno.EROFS: "the file system is read-only. Choose a writable location",
    errno.ENOTDIR: "a parent of the path is a file, not a folder. Choose another location",
    errno.EEXIST: "a parent of the path is a file, not a folder. Choose another location",
    errno.ELOOP: "it is a symbolic link. Remove it or choose another location",
    errno.EISDIR: "it is a folder. Give a file name",
}


def write_error(path: str | os.PathLike[str], error: OSError) -> UserError:
    """Return the error for a failed write to `path`."""
    reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
    return UserError(f"cannot write {os.fspath(path)}: {reason}")


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success rename it to `path`, else remove it.

    Missing parent folders are created. The data is flushed to disk before the rename, so a `kill
    -9` at any moment leaves the old file or the complete new one. What it leaves beside them is
    removed by the next process that writes into the folder (`temporaries.py`).

    Args:
        path: destination of the finished file.

    Raises:
        UserError: the path is not writable (full disk, no permission, a file as parent).
    """
    target = Path(path)
    try:
        _check(target)
        held = reserve_file(target)
    except OSError as error:
        raise write_error(target, error) from error
    try:
        yield held.path
        _publish(held.path, target)
    except OSError as error:
        if error.filename is not None and Path(error.filename) not in (held.path, target):
            raise
        raise write_error(target, error) from error
    finally:
        held.remove()


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success rename it to `path`, else remove it.

    Args:
        path: destination; an empty folder there is replaced.

    Raises:
        UserError: the path is not writable.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        held = reserve_folder(target)
    except OSError as error:
        raise write_error(target, error) from error
    try:
        yield held.path
        held.path.chmod(0o777 & ~_umask())
        if target.is_dir():
            target.rmdir()
        held.path.rename(target)
    except OSError as error:
        raise write_error(target, error) from error
    finally:
        held.remove()


def atomic_write(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Write `data` (text as UTF-8) to `path` atomically; raises as `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def created(path: Path) -> Path:
    """Create an empty file where there is none: `path`, else the first free of name-1, name-2, ...

    Returns:
        The file's path.

    Raises:
        OSError: it cannot be created.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "Is a directory")
    for number in count():
        tried = path.with_name(f"{path.stem}-{number}{path.suffix}") if number else path
        with suppress(FileExistsError):
            tried.touch(exist_ok=False)
            return tried
    raise AssertionError("unreachable")


def _check(target: Path) -> None:
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "Is a directory")
    target.parent.mkdir(parents=True, exist_ok=True)


def _publish(temporary: Path, target: Path) -> None:
    temporary.chmod(0o666 & ~_umask())
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(target)


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
