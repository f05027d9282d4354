"""Suppress the output of C libraries; edgecat reports errors in its own words."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_LOCK = Lock()
_saved: list[int | None] = []  # one for each thread inside; the first holds the real one


@contextmanager
def suppress_stderr() -> Iterator[None]:
    """Discard what is written to file descriptor 2, while C code prints there.

    OpenCV, FFmpeg, libjpeg and V4L2 print directly, and each has its own setting or none. The
    redirection affects the whole process, so keep it short; threads share it.
    """
    if sys.stderr is not None:
        sys.stderr.flush()
    with _LOCK:
        _saved.append(None if _saved else _redirected())
    try:
        yield
    finally:
        with _LOCK:
            if len(_saved) == 1 and (saved := _saved[0]) is not None:
                os.dup2(saved, 2)
                os.close(saved)
            _saved.pop()


def _redirected() -> int | None:
    """Send file descriptor 2 to nowhere; a copy of it, or None for a service without stderr."""
    try:
        saved = os.dup(2)
    except OSError:
        return None
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    return saved
