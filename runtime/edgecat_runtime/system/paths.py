"""Paths for native libraries, which take fewer names than the operating system has."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgecat_runtime.errors import UserError


@contextmanager
def native_path(path: str | os.PathLike[str]) -> Iterator[str]:
    """Yield a name of a file that OpenCV, FFmpeg, ONNX Runtime and OpenVINO can open.

    The name is absolute: FFmpeg takes `12:30.mp4` for an address. A name that is not UTF-8, which
    crashes OpenCV, is reached through a symbolic link with the same suffix. The link lasts until
    the block ends, so open the file inside; it need not exist yet.

    Raises:
        UserError: the name is not UTF-8, and this system makes no links.
    """
    absolute = os.path.abspath(path)  # noqa: PTH100  (links in the path stay as they are)
    if _is_text(absolute):
        yield absolute
        return
    suffix = Path(absolute).suffix
    with tempfile.TemporaryDirectory(prefix="edgecat-") as folder:
        link = Path(folder, "file" + (suffix if _is_text(suffix) else ""))
        try:
            link.symlink_to(absolute)
        except OSError as error:
            raise UserError(
                f"the name of {absolute!a} is not UTF-8, which OpenCV cannot open. Rename it"
            ) from error
        yield str(link)


def exists(path: str | os.PathLike[str]) -> bool:
    """Whether a path exists; False for a text that cannot be one, such as a long pipeline."""
    return os.path.exists(path)  # noqa: PTH110  (which raises for a name that is too long)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
