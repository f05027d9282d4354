"""Live sources that deliver one and the same image again and again."""

from __future__ import annotations

import zlib
from typing import Literal, NamedTuple

import numpy as np

from edgecat_runtime.types import Image

_STEP = 16  # pixels: only where this grid repeats is the whole image compared


class Change(NamedTuple):
    """A source has `frozen`, or is `moving` again, after `seconds` of one image."""

    state: Literal["frozen", "moving"]
    reason: str
    seconds: float


class Freeze:
    """Notices that images repeat byte for byte, which noise prevents in what a camera sees.

    Args:
        seconds: for which they have to repeat; 0: never notice.

    Attributes:
        frozen: whether they have.
    """

    def __init__(self, seconds: float) -> None:
        self.frozen = False
        self._since = 0.0  # the first of the images that repeat
        self._seconds = seconds
        self._grid: Image | None = None
        self._checksum: int | None = None

    def see(self, image: Image, now: float) -> Change | None:
        """Take the next image, at a time in seconds; return what has changed with it."""
        if not self._seconds:
            return None
        seconds = now - self._since
        if not self._repeats(image):
            was, self.frozen, self._since = self.frozen, False, now
            reason = f"the image had not changed for {seconds:.1f} s"
            return Change("moving", reason, seconds) if was else None
        if self.frozen or seconds < self._seconds:
            return None
        self.frozen = True
        return Change("frozen", f"the image has not changed for {seconds:.1f} s", seconds)

    def _repeats(self, image: Image) -> bool:
        grid = image[::_STEP, ::_STEP]
        if self._grid is None or not np.array_equal(grid, self._grid):
            self._grid, self._checksum = grid.copy(), None
            return False
        before, self._checksum = self._checksum, zlib.crc32(np.ascontiguousarray(image).data)
        return before in (None, self._checksum)
