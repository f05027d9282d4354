"""The desktop window."""

from __future__ import annotations

from threading import Event
from typing import Any

import numpy as np

from edgecat.deepvis.desk import Desk
from edgecat.deepvis.live.canvas import FAINT, Canvas
from edgecat.deepvis.live.compose import HEIGHT, WIDTH
from edgecat.deepvis.live.show import Show
from edgecat_runtime.system.opencv import cv2_module

_WAIT_MS = 20
# Results of `waitKeyEx`: X11 key symbols, Windows scan codes, Cocoa function keys.
_CODES = {
    "ArrowLeft": (0xFF51, 0x250000, 0xF702),
    "ArrowUp": (0xFF52, 0x260000, 0xF700),
    "ArrowRight": (0xFF53, 0x270000, 0xF703),
    "ArrowDown": (0xFF54, 0x280000, 0xF701),
    "PageUp": (0xFF55, 0x210000, 0xF72C),
    "PageDown": (0xFF56, 0x220000, 0xF72D),
    "Escape": (27,),
}
_NAMES = {code: name for name, codes in _CODES.items() for code in codes}


def key_from_code(code: int) -> str:
    """Return the browser name of the key for a code of `cv2.waitKeyEx`; empty if there is none.

    GTK sets the state of the lock keys above the lowest 16 bits; Windows puts its own codes there.
    """
    if code < 0:
        return ""
    if name := _NAMES.get(code) or _NAMES.get(code & 0xFFFF):
        return name
    letter = code & 0xFF
    return chr(letter) if 32 <= letter < 127 and code & 0xFFFF == letter else ""


class Window:
    """The live view in a window; runs on the main thread, as window systems require.

    Args:
        show: the live view.
        desk: receives the keys.
        title: window title.
    """

    def __init__(self, show: Show, desk: Desk, title: str) -> None:
        self._show, self._desk, self._title = show, desk, title
        self._cv2: Any = cv2_module()

    def run(self, stop: Event) -> None:
        """Show every new image until `stop` is set, which closing the window does too."""
        cv2, shown = self._cv2, None
        cv2.namedWindow(self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_GUI_NORMAL)
        cv2.resizeWindow(self._title, WIDTH, HEIGHT)
        cv2.setMouseCallback(self._title, self.on_mouse)
        cv2.imshow(self._title, _waiting())
        while not stop.is_set():
            picture = self._show.picture()
            if picture is not None and picture is not shown:
                cv2.imshow(self._title, picture)
                shown = picture
            self.on_key(int(cv2.waitKeyEx(_WAIT_MS)))
            if cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1:
                stop.set()
        cv2.destroyAllWindows()

    def on_key(self, code: int) -> bool:
        """Run the action bound to a key code of `cv2.waitKeyEx`; return whether there is one."""
        return self._desk.press(key_from_code(code))

    def on_mouse(self, event: int, x: int, y: int, flags: int = 0, data: object = None) -> None:
        """Select the clicked unit or layer, at pixels of the image."""
        picture = self._show.picture()
        if event == self._cv2.EVENT_LBUTTONDOWN and picture is not None:
            self._show.click(x / picture.shape[1], y / picture.shape[0])


def _waiting() -> np.ndarray[Any, np.dtype[np.uint8]]:
    canvas = Canvas(WIDTH, HEIGHT)
    canvas.text("waiting for the first frame", 40, 40, size=20, colour=FAINT)
    return canvas.image
