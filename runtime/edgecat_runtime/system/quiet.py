"""Suppress the output of C libraries; edgecat reports errors in its own words."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_LOCK = Lock()


@contextmanager
def suppress_stderr() -> Iterator[None]:
    """Discard what is written to file descriptor 2 while a device is being opened.

    OpenCV, FFmpeg and V4L2 print directly, and each has its own setting or none. The redirection
    affects the whole process, so keep it short.
    """
    if sys.stderr is not None:
        sys.stderr.flush()
    with _LOCK:
        try:
            saved = os.dup(2)
        except OSError:  # a service without stderr
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
