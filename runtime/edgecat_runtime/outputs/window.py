"""The display window."""

from __future__ import annotations

from threading import Event
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.outputs.sink import Sink, Stop
from edgecat_runtime.system.opencv import cv2_module

if TYPE_CHECKING:
    from edgecat_runtime.loop.answers import Answer

ESCAPE = 27
MOST_FPS = 30
MOST_SHARE = 0.2


class Window(Sink):
    """A window on the screen; `q`, Escape or its close button ends the loop.

    It is inline, because window systems require one thread. So that a slow display, such as a
    remote one, does not slow the loop, it shows at most 30 images per second and takes at most a
    fifth of the time. Without a display OpenCV aborts the process: check `display.why_no_window`
    before.

    Example:
        >>> Pipeline(camera, classifier, [Window("pets")]).run()  # doctest: +SKIP
    """

    name = "the window"
    wants_overlay = True
    inline = True

    def __init__(self, title: str = "edgecat") -> None:
        self._title = title
        self._cv2 = cv2_module()
        self._picture: NDArray[np.uint8] | None = None
        self._is_made = False
        self._due = 0.0

    def write(self, answer: Answer, picture: NDArray[np.uint8]) -> None:
        """Show one image, if it is due; raises Stop when the user has asked to quit."""
        self._picture = picture
        start = perf_counter()
        if start < self._due:
            return
        if self._is_made and not self.is_open():
            raise Stop
        if self._show(picture, wait_ms=1) in (ord("q"), ESCAPE):
            raise Stop
        cost = perf_counter() - start
        self._due = start + max(1 / MOST_FPS, cost / MOST_SHARE)

    def _show(self, picture: NDArray[np.uint8], wait_ms: int) -> int:
        """Show an image and return the key that was pressed, or -1."""
        if not self._is_made:
            self._cv2.namedWindow(self._title, self._cv2.WINDOW_NORMAL)
            self._cv2.resizeWindow(self._title, *_window_size(*picture.shape[:2]))
            self._is_made = True
        self._cv2.imshow(self._title, picture)
        return int(self._cv2.waitKey(wait_ms))

    def is_open(self) -> bool:
        """Whether the window is on the screen, not closed by its button."""
        if not self._is_made:
            return False
        return bool(self._cv2.getWindowProperty(self._title, self._cv2.WND_PROP_VISIBLE) >= 1)

    def linger(self, stop: Event) -> None:
        """Show the last image until a key is pressed, the window is closed or `stop` is set."""
        while self._picture is not None and self.is_open() and not stop.is_set():
            if self._show(self._picture, wait_ms=50) != -1:
                return

    def close(self) -> None:
        """Close the window."""
        if self.is_open():
            self._cv2.destroyWindow(self._title)
        self._is_made = False


def _window_size(height: int, width: int) -> tuple[int, int]:
    """Width and height on the screen: small frames grow, huge ones shrink."""
    scale = min(1280 / width, 720 / height)
    scale = scale if scale < 1 else min(scale, max(1, 480 // max(height, width)))
    return max(1, round(width * scale)), max(1, round(height * scale))
