"""The screen as a source."""

from __future__ import annotations

import os
import re
import sys
import time
from typing import Any

import numpy as np

from edgecat_runtime.camera.source import Shot, Source, SourceOptions
from edgecat_runtime.errors import BackendMissing, DeviceError, UserError

_FPS = 15.0


class Screen(Source):
    """The contents of a monitor, captured at a fixed rate.

    Args:
        shooter: an open `mss.mss()`.
        number: of the monitor, from 1; 0 is all of them as one.
        fps: frames per second; 0: 15.
    """

    live = True
    reopens = False  # an X client does not survive the loss of its X server

    def __init__(self, shooter: Any, number: int, fps: float) -> None:
        self.name = f"screen:{number}"
        self.fps = fps or _FPS
        self._shooter = shooter
        self._monitor = shooter.monitors[number]
        self._due = time.perf_counter()

    def read(self) -> Shot | None:
        """Capture the next image when it is due; raises DeviceError if that fails."""
        now = time.perf_counter()
        self._due = max(self._due + 1 / self.fps, now - 1 / self.fps)
        time.sleep(max(0.0, self._due - now))
        try:
            shot = self._shooter.grab(self._monitor)
        except Exception as error:  # the type depends on what broke
            self._shooter = None  # closing a broken connection aborts the process
            raise DeviceError(f"{self.name} cannot be captured: {error or 'it is gone'}") from error
        pixels = np.frombuffer(shot.raw, np.uint8).reshape(shot.height, shot.width, 4)
        return Shot(np.ascontiguousarray(pixels[:, :, :3]))

    def close(self) -> None:
        """Release the screen."""
        if self._shooter is not None:
            self._shooter.close()


def open_screen(text: str, options: SourceOptions) -> Screen:
    """Open `screen`, the first monitor, or `screen:N`.

    Raises:
        BackendMissing: mss is not installed.
        DeviceError: there is no screen, or it may not be captured.
        UserError: a size is requested.
    """
    options.refuse("the screen", "width", "height", instead="select a region with --roi")
    match = re.fullmatch(r"screen(?::(?://)?(\d*))?", text, re.I)
    if match is None:
        raise UserError(f"source {text!r}; expected screen, or screen:2 for the second monitor")
    if reason := why_no_screen():
        raise DeviceError(f"cannot capture the screen: {reason}")
    try:
        import mss
    except ImportError as error:
        raise BackendMissing(
            "mss is not installed: pip install 'edgecat-runtime[screen]'"
        ) from error
    try:
        shooter = mss.mss()
        monitors = len(shooter.monitors) - 1
    except mss.exception.ScreenShotError as error:
        raise DeviceError(f"cannot capture the screen: {error}") from error
    number = int(match[1] or 1)
    if number > monitors:
        shooter.close()
        raise DeviceError(f"there is no screen {number}; found {monitors}")
    return Screen(shooter, number, options.fps)


def why_no_screen() -> str:
    """Return why the screen cannot be captured; empty if it may be possible."""
    if not sys.platform.startswith("linux") or os.environ.get("DISPLAY"):
        return ""
    if os.environ.get("WAYLAND_DISPLAY"):
        return "Wayland does not allow screen capture. Start an X11 session"
    return "there is no display (DISPLAY is not set)"
