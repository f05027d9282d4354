"""Local cameras, through the operating system's own driver interface."""

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
from edgecat_runtime.system.quiet import suppress_stderr

_FPS_TOLERANCE = 1.0


def open_webcam(text: str, options: SourceOptions = NO_OPTIONS) -> LiveCapture:
    """Open a camera by its number or its device file.

    Raises:
        DeviceError: the camera does not exist, is busy, forbidden or not a camera at all.
        UserError: it does not support the requested size or rate.
    """
    path = Path(f"/dev/video{text}" if text.isdigit() else text)
    on_linux = sys.platform.startswith("linux")
    name = f"camera {path}" if on_linux else f"camera {text}"
    if on_linux and not path.exists():
        raise DeviceError(f"there is no {name}; {_cameras_found()}")
    if on_linux and not os.access(path, os.R_OK | os.W_OK):
        raise DeviceError(f"{name}: permission denied. Join its group, usually `video`")
    cv2 = cv2_module()
    with suppress_stderr():
        if on_linux:  # by path, since OpenCV may prefer GStreamer for a number
            capture = cv2.VideoCapture(str(path), cv2.CAP_V4L2)
        else:
            capture = cv2.VideoCapture(int(text) if text.isdigit() else text)
    if not capture.isOpened():
        raise DeviceError(
            f"{name} cannot be opened: it is not a camera, or it is in use by another program; "
            f"{_cameras_found()}"
        )
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the driver has a queue too
    try:
        _set_up(capture, name, options)
    except UserError:
        capture.release()
        raise
    return LiveCapture(capture, name, "stopped delivering frames. Was it unplugged?")


def _set_up(capture: Any, name: str, options: SourceOptions) -> None:
    """Request a size and rate from the driver; raise if it silently chooses others."""
    cv2 = cv2_module()
    if options.width * options.height >= 1280 * 720:  # raw images exceed the bandwidth of USB 2
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
            f"{name} delivers {width}x{height} pixels at {fps:g} frames per second instead of "
            "the requested --width, --height and --fps. See its sizes: edgecat camera --list"
        )


def _cameras_found() -> str:
    found = sorted(Path("/dev").glob("video*"), key=natural_key)
    if found:
        return f"found {', '.join(map(str, found))}"
    return "no camera found (/dev/video*). Plug one in, or give a file with --source"
