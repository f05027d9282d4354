"""How an image is viewed: rotated, mirrored and cropped."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edgecat_runtime.errors import DeviceError, UserError
from edgecat_runtime.system.opencv import cv2_module

if TYPE_CHECKING:
    from edgecat_runtime.types import Image  # imports numpy, which no option needs

Rotation = Literal[0, 90, 180, 270]
Flip = Literal["horizontal", "vertical", "both"]

ROTATIONS: dict[str, Rotation] = {"0": 0, "90": 90, "180": 180, "270": 270}
_FLIPS: dict[Flip, int] = {"horizontal": 1, "vertical": 0, "both": -1}  # OpenCV's codes


@dataclass(frozen=True)
class Region:
    """A region of the image.

    Attributes:
        x: its left edge.
        y: its upper edge.
        width: more than 0.
        height: more than 0.
        shares: whether these are fractions of the image, 0..1, instead of pixels.
    """

    x: float
    y: float
    width: float
    height: float
    shares: bool = False

    @classmethod
    def parse(cls, text: str) -> Region:
        """Parse `x,y,w,h`: fractions if width and height are at most 1, else whole pixels.

        Raises:
            UserError: the text is invalid, or the region is empty or impossible.
        """
        number = r"\s*(\d+\.?\d*|\.\d+)\s*"
        match = re.fullmatch(",".join([number] * 4), text)
        if match is None:
            raise UserError(f"--roi is {text!r}; expected x,y,width,height in pixels or fractions")
        x, y, width, height = (float(part) for part in match.groups())
        shares = width <= 1 and height <= 1
        if not (width and height) or (shares and (x + width > 1 or y + height > 1)):
            raise UserError(f"--roi {text} is not inside the image; fractions are from 0 to 1")
        if not shares and any("." in part for part in match.groups()):
            raise UserError(f"--roi is {text!r}; expected whole pixels, or fractions from 0 to 1")
        return cls(x, y, width, height, shares)

    def of(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Return left, top, right and bottom in pixels of an image, which they may exceed."""
        across, down = (width, height) if self.shares else (1, 1)
        left, top = round(self.x * across), round(self.y * down)
        right, bottom = round((self.x + self.width) * across), round((self.y + self.height) * down)
        return left, top, max(left + 1, right), max(top + 1, bottom)


class View:
    """Rotates, mirrors and crops every image of one source.

    Args:
        rotate: degrees clockwise.
        flip: `horizontal` exchanges left and right.
        roi: a region of the rotated and mirrored image.
    """

    def __init__(self, rotate: Rotation = 0, flip: Flip | None = None, roi: Region | None = None):
        self._rotate, self._flip, self._roi = rotate, flip, roi
        self._first = True

    def __call__(self, image: Image) -> Image:
        """Return the visible part of an image (h, w, 3).

        Raises:
            UserError: the region is not entirely inside the first image.
            DeviceError: it is entirely outside a later image of a different size.
        """
        if self._rotate or self._flip:
            cv2 = cv2_module()
            if self._rotate:
                image = cv2.rotate(image, self._rotate // 90 - 1)
            if self._flip:
                image = cv2.flip(image, _FLIPS[self._flip])
        return image if self._roi is None else self._cut(image, self._roi)

    def _cut(self, image: Image, roi: Region) -> Image:
        import numpy as np

        height, width = image.shape[:2]
        left, top, right, bottom = roi.of(width, height)
        if self._first and (right > width or bottom > height):
            raise UserError(
                f"--roi extends to {right},{bottom}, outside the image of {width}x{height} "
                "pixels. Choose a smaller region, or fractions such as 0.25,0.25,0.5,0.5"
            )
        self._first = False
        if left >= width or top >= height:
            raise DeviceError(f"the image is now {width}x{height} and --roi lies outside it")
        return np.ascontiguousarray(image[top:bottom, left:right])
