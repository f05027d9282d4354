"""The only import of OpenCV, so that a missing one is reported with its install command."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from threading import Lock
from types import ModuleType
from typing import Any

from edgecat_runtime.errors import BackendMissing
from edgecat_runtime.system.quiet import suppress_stderr

MAX_PIXELS = 1 << 27  # of an image file; 400 MB decoded
_SILENT = 0  # OpenCV's LOG_LEVEL_SILENT
_LOCK = Lock()
_levels: list[int] = []  # one for each caller inside; the first is the one to return to


def cv2_module() -> ModuleType:
    """Return the `cv2` module.

    Raises:
        BackendMissing: OpenCV cannot be imported. On a Jetson it comes with JetPack.
    """
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))  # read on loading
    # NumPy prints a page about modules that do not go with it.
    quiet = nullcontext() if "cv2" in sys.modules else suppress_stderr()
    try:
        with quiet:
            import cv2
    except ImportError as error:
        what, fix = _why_not(error)
        raise BackendMissing(what, fix=fix) from error
    module: ModuleType = cv2
    return module


def silence_opencv(cv2: ModuleType) -> None:
    """Limit OpenCV's log to errors: each timeout, failed attempt or unknown operator is a warning.

    The user's OPENCV_LOG_LEVEL, if set, takes precedence.
    """
    if "OPENCV_LOG_LEVEL" not in os.environ:
        with suppress(AttributeError):
            cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)


@contextmanager
def quiet_opencv(cv2: ModuleType) -> Iterator[None]:
    """Log nothing of OpenCV's meanwhile: the caller says what failed in its own words.

    The level is the process's; threads share it. OPENCV_LOG_LEVEL, if set, takes precedence.
    """
    log: Any = getattr(getattr(cv2, "utils", None), "logging", None)
    if not hasattr(log, "setLogLevel") or "OPENCV_LOG_LEVEL" in os.environ:
        yield
        return
    with _LOCK:
        _levels.append(log.setLogLevel(_SILENT))
    try:
        yield
    finally:
        with _LOCK:
            if len(_levels) == 1:
                log.setLogLevel(_levels[0])
            del _levels[-1]


def _why_not(error: ImportError) -> tuple[str, str]:
    """Return why OpenCV cannot be imported, and what to do."""
    if isinstance(error, ModuleNotFoundError) and error.name == "cv2":
        return (
            "OpenCV is not installed",
            "pip install 'edgecat-runtime[headless]' (or [gui] for a window); on a Jetson use "
            "JetPack's, through a venv made with --system-site-packages",
        )
    if "numpy" in str(error) or "_ARRAY_API" in str(error):
        from importlib.metadata import version  # only here, so that --help needs none

        numpy = version("numpy")
        return (
            f"OpenCV is installed, but was built for another NumPy than {numpy} ({error})",
            "pip install 'numpy<2', or OpenCV 4.10 or later",
        )
    if ".so" in str(error):
        return (
            f"OpenCV is installed, but a system library is missing ({error})",
            "install the library, or use OpenCV without windows: pip uninstall opencv-python, then "
            "pip install 'edgecat-runtime[headless]'",
        )
    return f"OpenCV is installed, but cannot be imported ({error})", "reinstall it"
