"""The window on the screen."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.opencv import cv2_module
from edgecat_runtime.sinks import Sink, Stop

if TYPE_CHECKING:
    from edgecat_runtime.pipeline import Answer

Image = NDArray[np.uint8]


class Window(Sink):
    """A window on the screen; `q`, Escape or its close button ends the loop.

    It is inline, because window systems insist on one thread; showing a picture does not wait.
    Where there is no display OpenCV ends the whole process: ask `display.why_no_window` before.
    """

    name = "the window"
    wants_picture = True
    inline = True

    def __init__(self, title: str = "edgecat") -> None:
        self._title = title
        self._shown = False
        self._cv2 = cv2_module()

    def write(self, answer: Answer, picture: Image) -> None:
        """Show one picture; raises Stop when the user has asked to end."""
        if not self._shown:
            self._cv2.namedWindow(self._title, self._cv2.WINDOW_NORMAL)
            self._cv2.resizeWindow(self._title, *_window_size(*picture.shape[:2]))
        elif not self.is_open():
            raise Stop
        self._cv2.imshow(self._title, picture)
        self._shown = True
        if self.wants_to_close():
            raise Stop

    def is_open(self) -> bool:
        """Whether the user has not closed it."""
        visible = self._cv2.getWindowProperty(self._title, self._cv2.WND_PROP_VISIBLE)
        return self._shown and bool(visible >= 1)

    def wants_to_close(self) -> bool:
        """Whether `q` or Escape was pressed; lets the window draw itself."""
        return (self._cv2.waitKey(1) & 0xFF) in (ord("q"), 27)

    def linger(self, stop: Event) -> None:
        """Show the last picture until a key is pressed, the window is closed or `stop` is set."""
        while self.is_open() and not stop.is_set() and self._cv2.waitKey(50) == -1:
            pass

    def close(self) -> None:
        """Take the window off the screen."""
        if self._shown and self.is_open():
            self._cv2.destroyWindow(self._title)
        self._shown = False


def _window_size(height: int, width: int) -> tuple[int, int]:
    """Width and height on the screen: small frames grow, huge ones shrink."""
    scale = min(1280 / width, 720 / height)
    scale = scale if scale < 1 else min(scale, max(1, 480 // max(height, width)))
    return max(1, round(width * scale)), max(1, round(height * scale))
