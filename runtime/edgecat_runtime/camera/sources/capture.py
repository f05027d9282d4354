"""What the sources on OpenCV's VideoCapture share."""

from __future__ import annotations

import os
from contextlib import suppress
from types import ModuleType
from typing import Any

from edgecat_runtime.camera.source import Shot, Source
from edgecat_runtime.errors import DeviceError
from edgecat_runtime.system.opencv import cv2_module


class LiveCapture(Source):
    """A live source behind an open `cv2.VideoCapture`.

    Args:
        capture: released with the source.
        name: for sentences.
        lost: what to say, after the name, when no more frames come.
    """

    live = True

    def __init__(self, capture: Any, name: str, lost: str) -> None:
        self.name = name
        self.fps = stated_fps(capture)
        self._capture = capture
        self._lost = lost

    def read(self) -> Shot | None:
        """Wait for the next frame; raises DeviceError when none comes any more."""
        there, image = self._capture.read()
        if not there:
            raise DeviceError(f"{self.name} {self._lost}")
        return Shot(image)

    def close(self) -> None:
        """Let the device or the connection go."""
        self._capture.release()


def stated_fps(capture: Any) -> float:
    """Return the frame rate that a capture states; 0 where that is nonsense."""
    fps = float(capture.get(cv2_module().CAP_PROP_FPS))
    return fps if 0 < fps <= 1000 else 0.0


def hush(cv2: ModuleType) -> None:
    """Let OpenCV print errors only: each timeout and each failed attempt would be a warning.

    What the user has set with OPENCV_LOG_LEVEL wins.
    """
    if "OPENCV_LOG_LEVEL" not in os.environ:
        with suppress(AttributeError):
            cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
