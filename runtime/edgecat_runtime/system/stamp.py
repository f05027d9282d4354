"""What tells that a file has changed."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class FileStamp(NamedTuple):
    """What changes with a file's contents: modification time (ns), size and inode number."""

    written: int
    size: int
    number: int


def file_stamp(path: Path) -> FileStamp | None:
    """Return the stamp of a file; None if it does not exist."""
    try:
        state = path.stat()
    except OSError:
        return None
    return FileStamp(state.st_mtime_ns, state.st_size, state.st_ino)
