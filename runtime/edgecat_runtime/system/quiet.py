"""Silence for C libraries that print; edgecat says in its own sentence what went wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_LOCK = Lock()


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Send what is written to file descriptor 2 to nowhere, for the moment of opening a device.

    OpenCV, FFmpeg and V4L2 each print past Python, and each has its own switch or none. The
    redirection holds for the whole process, so keep it short.
    """
    if sys.stderr is not None:
        sys.stderr.flush()
    with _LOCK:
        try:
            saved = os.dup(2)
        except OSError:  # a service without a standard error
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
