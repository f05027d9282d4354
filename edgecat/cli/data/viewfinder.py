"""The window of `edgecat data capture`: space captures an image, q or Escape quits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgecat_runtime.system.opencv import cv2_module

if TYPE_CHECKING:
    from edgecat.curation.gather import Album
    from edgecat_runtime.camera.frames import Frame

_SPACE, _ESCAPE = 32, 27
_BAR = 34  # pixels


class Viewfinder:
    """Shows every frame and the counts so far; check `display.why_no_window` before use.

    Args:
        title: window title.
    """

    def __init__(self, title: str) -> None:
        self._cv2 = cv2_module()
        self._title = title
        self._shown = False

    def __call__(self, frame: Frame, album: Album) -> bool:
        """Whether space was pressed; raises StopIteration when the user quits."""
        if self._shown and not self._is_open():
            raise StopIteration
        picture = self._cv2.copyMakeBorder(
            frame.image, 0, _BAR, 0, 0, self._cv2.BORDER_CONSTANT, value=(40, 32, 24)
        )
        counts = ", ".join(f"{number} {verdict}" for verdict, number in album.counts.items())
        text = f"{album.folder.name}: {counts or 'press space to capture'}"
        place = (10, picture.shape[0] - 11)
        font = self._cv2.FONT_HERSHEY_SIMPLEX
        self._cv2.putText(picture, text, place, font, 0.6, (255, 255, 255), 1, self._cv2.LINE_AA)
        if not self._shown:
            self._cv2.namedWindow(self._title, self._cv2.WINDOW_NORMAL)
            self._shown = True
        self._cv2.imshow(self._title, picture)
        key = int(self._cv2.waitKey(1)) & 0xFF
        if key in (ord("q"), _ESCAPE):
            raise StopIteration
        return key == _SPACE

    def close(self) -> None:
        """Close the window."""
        if self._shown and self._is_open():
            self._cv2.destroyWindow(self._title)

    def _is_open(self) -> bool:
        visible = self._cv2.getWindowProperty(self._title, self._cv2.WND_PROP_VISIBLE)
        return bool(visible >= 1)


@contextmanager
def viewfinder(title: str) -> Iterator[Viewfinder]:
    """Yield a viewfinder and close it at the end."""
    window = Viewfinder(title)
    try:
        yield window
    finally:
        window.close()
