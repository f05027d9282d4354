"""Cameras of the machine, through the operating system's own driver interface."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from edgecat_runtime.camera.source import NO_OPTIONS, SourceOptions
from edgecat_runtime.camera.sources.capture import LiveCapture, stated_fps
from edgecat_runtime.camera.sources.files import natural_key
from edgecat_runtime.errors import DeviceError, UserError
from edgecat_runtime.system.opencv import cv2_module
from edgecat_runtime.system.quiet import quiet_stderr

_FPS_TOLERANCE = 1.0


def open_webcam(text: str, options: SourceOptions = NO_OPTIONS) -> LiveCapture:
    """Open a camera by its number or its device file.

    Raises:
        DeviceError: there is no such camera, or it is busy, forbidden or no camera at all.
        UserError: it does not give the size or rate that is asked for.
    """
    path = Path(f"/dev/video{text}" if text.isdigit() else text)
    on_linux = sys.platform.startswith("linux")
    name = f"camera {path}" if on_linux else f"camera {text}"
    if on_linux and not path.exists():
        raise DeviceError(f"there is no {name}; {_cameras_found()}")
    if on_linux and not os.access(path, os.R_OK | os.W_OK):
        raise DeviceError(f"{name} may not be opened by this user. Join its group, often `video`")
    cv2 = cv2_module()
    with quiet_stderr():
        if on_linux:  # by name, since OpenCV may else prefer GStreamer for a number
            capture = cv2.VideoCapture(str(path), cv2.CAP_V4L2)
        else:
            capture = cv2.VideoCapture(int(text) if text.isdigit() else text)
    if not capture.isOpened():
        raise DeviceError(
            f"{name} cannot be opened: it is no camera, or another program uses it; "
            f"{_cameras_found()}"
        )
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the driver's queue is a queue too
    try:
        _set_up(capture, name, options)
    except UserError:
        capture.release()
        raise
    return LiveCapture(capture, name, "gives no more frames. Was it unplugged?")


def _set_up(capture: Any, name: str, options: SourceOptions) -> None:
    """Ask the driver for a size and rate; it may silently choose others, which is refused."""
    cv2 = cv2_module()
    if options.width * options.height >= 1280 * 720:  # raw pictures do not fit through USB 2
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
    for value, code in (
        (options.width, cv2.CAP_PROP_FRAME_WIDTH),
        (options.height, cv2.CAP_PROP_FRAME_HEIGHT),
        (options.fps, cv2.CAP_PROP_FPS),
    ):
        if value:
            capture.set(code, value)
    width = round(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
    height = round(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    fps = stated_fps(capture)
    if (
        (options.width and width != options.width)
        or (options.height and height != options.height)
        or (options.fps and fps and abs(fps - options.fps) > _FPS_TOLERANCE)
    ):
        raise UserError(
            f"{name} gives {width}x{height} pixels at {fps:g} frames a second in place of what "
            "--width, --height and --fps ask for. See what it offers: edgecat camera --list"
        )


def _cameras_found() -> str:
    found = sorted(Path("/dev").glob("video*"), key=natural_key)
    if found:
        return f"found {', '.join(map(str, found))}"
    return "no camera was found (/dev/video*). Plug one in, or give a file with --source"
