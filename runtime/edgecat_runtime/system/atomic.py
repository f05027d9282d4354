"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgecat_runtime.errors import UserError

_REASONS = {
    errno.ENOSPC: "the disk is full. Free some space or choose another place",
    errno.EDQUOT: "your disk quota is used up. Free some space or choose another place",
    errno.EACCES: "permission denied. Choose a place you may write to",
    errno.EPERM: "permission denied. Choose a place you may write to",
    errno.EROFS: "the file system is read-only. Choose a place you may write to",
    errno.ENOTDIR: "a parent of it is a file, not a folder. Choose another place",
    errno.EEXIST: "a parent of it is a file, not a folder. Choose another place",
    errno.EISDIR: "it is a folder. Name a file",
}


def write_error(path: str | os.PathLike[str], error: OSError) -> UserError:
    """The one sentence for a failed write to `path`."""
    reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
    return UserError(f"cannot write {os.fspath(path)}: {reason}")


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success rename it to `path`, else remove it.

    Missing parent folders are made. The file's data reaches the disk before its name does, so a
    `kill -9` at any moment leaves the old file or the new one, never a part.

    Args:
        path: where the finished file shall be.

    Raises:
        UserError: nothing can be written there (full disk, no permission, a file as parent).
    """
    target = Path(path)
    try:
        temporary = _reserve(target)
    except OSError as error:
        raise write_error(target, error) from error
    try:
        yield temporary
        _publish(temporary, target)
    except OSError as error:
        if error.filename is not None and Path(error.filename) not in (temporary, target):
            raise
        raise write_error(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Write `data` (text as UTF-8) to `path` whole or not at all; raises as `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def _reserve(target: Path) -> Path:
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "Is a directory")
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        dir=target.parent, prefix=f".{target.stem}-", suffix=target.suffix
    )
    os.close(handle)
    return Path(name)


def _publish(temporary: Path, target: Path) -> None:
    umask = os.umask(0)
    os.umask(umask)
    temporary.chmod(0o666 & ~umask)
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(target)
