"""GStreamer pipelines, and the CSI cameras of a Jetson, which are one."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any

from edgecat_runtime.camera.redaction import redacted
from edgecat_runtime.camera.source import SourceOptions
from edgecat_runtime.camera.sources.capture import LiveCapture
from edgecat_runtime.errors import BackendMissing, DeviceError
from edgecat_runtime.system.opencv import cv2_module, silence_opencv

START_SECONDS = 10.0
# Only the newest frame, without a queue; converted to OpenCV's format.
NEWEST = "appsink drop=true max-buffers=1 sync=false"
_TO_BGR = f"videoconvert ! video/x-raw,format=BGR ! {NEWEST}"


def open_gstreamer(text: str, options: SourceOptions) -> LiveCapture:
    """Open `gst:<pipeline>`; if it has no appsink, one for the newest frame is appended.

    Raises:
        BackendMissing: OpenCV is built without GStreamer.
        DeviceError: the pipeline cannot be started.
        UserError: a size or rate is requested.
    """
    options.refuse(
        "a GStreamer pipeline",
        "width",
        "height",
        "fps",
        instead="write it into the pipeline's caps",
    )
    pipeline = text.partition(":")[2].strip()
    if not re.search(r"\bappsink\b", pipeline):
        pipeline = f"{pipeline.rstrip('! ')} ! {_TO_BGR}"
    return _open(pipeline, redacted(text))


def open_csi(text: str, options: SourceOptions) -> LiveCapture:
    """Open `csi://N`, a CSI camera of a Jetson, through nvarguscamerasrc.

    Raises:
        BackendMissing: OpenCV is built without GStreamer.
        DeviceError: the camera does not exist, or this is not a Jetson.
    """
    pipeline = csi_pipeline(text, options)
    if has_gstreamer() and (reason := why_no_csi()):
        raise DeviceError(f"{text} cannot be opened: {reason}")
    return _open(pipeline, text)


def csi_pipeline(text: str, options: SourceOptions) -> str:
    """Return the pipeline of `csi://N`: by default 1280x720 at 30 frames per second.

    Raises:
        DeviceError: N is not a number.
    """
    match = re.fullmatch(r"csi:(?://)?(\d*)/?", text, re.I)
    if match is None:
        raise DeviceError(f"there is no camera {text}; expected csi://0 or another number")
    width, height = options.width or 1280, options.height or 720
    return (
        f"nvarguscamerasrc sensor-id={match[1] or 0} ! "
        f"video/x-raw(memory:NVMM),width={width},height={height},"
        f"framerate={round((options.fps or 30) * 1000)}/1000 ! "
        f"nvvidconv ! video/x-raw,format=BGRx ! {_TO_BGR}"
    )


def why_no_csi() -> str:
    """Return why there can be no CSI camera here; empty if there may be one."""
    plugins = Path("/usr/lib").glob("*/gstreamer-1.0/libgstnvarguscamerasrc.so")
    return "" if any(plugins) else "nvarguscamerasrc is missing: this is not a Jetson"


def has_gstreamer() -> bool:
    """Whether this OpenCV can open a pipeline; `getBackends` would name GStreamer in any case."""
    cv2 = cv2_module()
    return bool(cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER))


def _open(pipeline: str, name: str) -> LiveCapture:
    cv2 = cv2_module()
    if not has_gstreamer():
        raise BackendMissing(
            f"{name} needs an OpenCV with GStreamer; pip's wheels lack it: use the "
            "system's (JetPack's, or apt install python3-opencv) in a venv made with "
            "--system-site-packages, and pip uninstall opencv-python opencv-python-headless"
        )
    silence_opencv(cv2)
    capture = _started(lambda: cv2.VideoCapture(pipeline, cv2.CAP_GSTREAMER))
    if capture is None or not capture.isOpened():
        raise DeviceError(
            f"{name} cannot be started: an element or the camera is missing. Try it: "
            f"gst-launch-1.0 {redacted(pipeline).replace(NEWEST, 'fakesink')}"
        )
    return LiveCapture(capture, name, "stopped delivering frames")


def _started(start: Callable[[], Any]) -> Any:
    """Return the result of `start`, or None if it hangs, as an incomplete pipeline may."""
    started: Queue[Any] = Queue()
    Thread(target=lambda: started.put(start()), name="edgecat-gstreamer", daemon=True).start()
    with suppress(Empty):
        return started.get(timeout=START_SECONDS)
    return None
