"""Temporary files and folders that are removed even if their process is killed.

Each one is locked (`flock`) as long as its process lives. The first one that a process makes in a
folder removes those there whose lock is free: their process is gone, on whatever machine or in
whatever container it ran. Only names with edgecat's mark, of this user, are touched.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nothing is locked, and nothing removed
    fcntl = None  # type: ignore[assignment]

MARK = ".edgecat-tmp-"
_LONGEST_NAME = 120  # bytes of the target's name; file systems allow 255 in all
_TRIES = 100
_swept: set[Path] = set()


@dataclass(frozen=True)
class Held:
    """A temporary file or folder of this process.

    Attributes:
        path: where it is.
        lock: the descriptor that holds its lock; -1 if there is none.
    """

    path: Path
    lock: int

    def remove(self) -> None:
        """Delete it, if it is still there, and release the lock."""
        _delete(self.path)
        if self.lock >= 0:
            os.close(self.lock)


def reserve_file(target: Path) -> Held:
    """Create an empty file beside `target`, with the same suffix.

    Raises:
        OSError: it cannot be created.
    """
    return _reserve(target, folder=False)


def reserve_folder(target: Path) -> Held:
    """Create an empty folder beside `target`.

    Raises:
        OSError: it cannot be created.
    """
    return _reserve(target, folder=True)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a folder in the system's place for temporary files; delete it at the end.

    Raises:
        OSError: it cannot be created.
    """
    held = reserve_folder(Path(tempfile.gettempdir()) / "scratch")
    try:
        yield held.path
    finally:
        held.remove()


def sweep(folder: Path) -> None:
    """Remove the temporary files and folders in `folder` whose process is gone."""
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            if entry.name.startswith(".") and MARK in entry.name:
                _remove_dead(Path(entry.path))


def _reserve(target: Path, *, folder: bool) -> Held:
    parent = target.parent.absolute()
    if parent not in _swept:
        _swept.add(parent)
        sweep(parent)
    stem = target.stem.encode("utf-8", "ignore")[:_LONGEST_NAME].decode("utf-8", "ignore")
    prefix, suffix = f".{stem}{MARK}", "" if folder else target.suffix
    for _ in range(_TRIES):
        if folder:
            path = Path(tempfile.mkdtemp(dir=target.parent, prefix=prefix))
        else:
            handle, name = tempfile.mkstemp(dir=target.parent, prefix=prefix, suffix=suffix)
            os.close(handle)
            path = Path(name)
        lock = _lock(path)
        if lock is not None:
            return Held(path, lock)
    raise OSError(f"temporary files in {parent} are deleted as soon as they are created")


def _lock(path: Path) -> int | None:
    """Lock a new temporary: a descriptor; -1 without locks; None if it was swept meanwhile."""
    if fcntl is None:
        return -1
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:  # another process is about to delete it
        os.close(handle)
        return None
    except OSError:  # a file system without locks
        os.close(handle)
        return -1
    if not _same(path, handle):
        os.close(handle)
        return None
    return handle


def _remove_dead(path: Path) -> None:
    if fcntl is None:
        return
    with suppress(OSError):
        found = path.lstat()
        if found.st_uid != os.getuid() or not (
            stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)
        ):
            return
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _same(path, handle):
                _delete(path)
        finally:
            os.close(handle)


def _same(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(handle))
    except OSError:
        return False


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
