"""Check whether a window can be opened, without crashing if it cannot."""

from __future__ import annotations

import os
import subprocess
import sys

_PROBE = "import cv2; cv2.namedWindow('edgecat'); cv2.waitKey(1); cv2.destroyAllWindows()"
_PROBE_SECONDS = 20


def why_no_window() -> str:
    """Return why no window can be opened here; empty if one can.

    Without a display, or with a stale `DISPLAY`, OpenCV aborts the process, so after checking the
    environment a child process tries it first.
    """
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return "there is no display (DISPLAY and WAYLAND_DISPLAY are not set)"
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE],
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "the display does not respond"
    if probe.returncode > 0:
        return "this OpenCV has no GUI support: install opencv-python instead of the headless one"
    return "the display cannot be opened" if probe.returncode else ""
