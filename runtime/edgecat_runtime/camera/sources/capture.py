"""Common code of the sources based on OpenCV's VideoCapture."""

from __future__ import annotations

from typing import Any

from edgecat_runtime.camera.source import Shot, Source
from edgecat_runtime.errors import DeviceError
from edgecat_runtime.system.opencv import cv2_module


class LiveCapture(Source):
    """A live source behind an open `cv2.VideoCapture`.

    Args:
        capture: released with the source.
        name: used in messages.
        lost: message, after the name, when no more frames arrive.
    """

    live = True
    may_freeze = True

    def __init__(self, capture: Any, name: str, lost: str) -> None:
        self.name = name
        self.fps = stated_fps(capture)
        self._capture = capture
        self._lost = lost

    def read(self) -> Shot | None:
        """Wait for the next frame; raises DeviceError when no more frames arrive."""
        there, image = self._capture.read()
        if not there:
            raise DeviceError(f"{self.name} {self._lost}")
        return Shot(image)

    def close(self) -> None:
        """Release the device or connection."""
        self._capture.release()


def stated_fps(capture: Any) -> float:
    """Return the nominal frame rate of a capture; 0 if it is implausible."""
    fps = float(capture.get(cv2_module().CAP_PROP_FPS))
    return fps if 0 < fps <= 1000 else 0.0
