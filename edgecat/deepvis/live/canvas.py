"""The canvas of the live view, with its primitives: boxes, text, images and bars."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edgecat_runtime.outputs.overlay import legible
from edgecat_runtime.system.opencv import cv2_module
from edgecat_runtime.types import Image

Colour = tuple[int, int, int]

# BGR; the web page's dark theme.
PAPER: Colour = (23, 19, 15)
CARD: Colour = (35, 29, 24)
RULE: Colour = (60, 51, 43)
FAINT: Colour = (179, 165, 154)
INK: Colour = (240, 235, 232)
BLUE: Colour = (255, 168, 110)
ORANGE: Colour = (75, 160, 240)
GREEN: Colour = (122, 196, 76)
RED: Colour = (114, 123, 255)


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels: left, top, width and height; at least one pixel."""

    x: int
    y: int
    width: int
    height: int

    def cut_top(self, height: int, gap: int = 0) -> tuple[Box, Box]:
        """Split it into its upper `height` pixels and the rest below a gap."""
        height = max(1, min(height, self.height - gap - 1))
        below = self.height - height - gap
        return (
            Box(self.x, self.y, self.width, height),
            Box(self.x, self.y + height + gap, self.width, max(1, below)),
        )

    def cut_left(self, width: int, gap: int = 0) -> tuple[Box, Box]:
        """Split it into its left `width` pixels and the rest right of a gap."""
        width = max(1, min(width, self.width - gap - 1))
        beyond = self.width - width - gap
        return (
            Box(self.x, self.y, width, self.height),
            Box(self.x + width + gap, self.y, max(1, beyond), self.height),
        )

    def inner(self, margin: int) -> Box:
        """Shrink it on all sides."""
        return Box(
            self.x + margin,
            self.y + margin,
            max(1, self.width - 2 * margin),
            max(1, self.height - 2 * margin),
        )

    def around(self, height: int, width: int) -> Box:
        """Return the largest centred box inside with the aspect of (height, width)."""
        scale = min(self.width / width, self.height / height)
        wide, high = max(1, round(width * scale)), max(1, round(height * scale))
        return Box(
            self.x + (self.width - wide) // 2, self.y + (self.height - high) // 2, wide, high
        )

    def holds(self, x: float, y: float) -> bool:
        """Whether a pixel is inside."""
        return self.x <= x < self.x + self.width and self.y <= y < self.y + self.height


class Canvas:
    """An image to draw on; all sizes scale with it.

    Attributes:
        image: uint8 (height, width, 3) BGR.
        box: the whole image.
    """

    def __init__(self, width: int, height: int) -> None:
        self.image: Image = np.empty((height, width, 3), np.uint8)
        self.box = Box(0, 0, width, height)
        self.fill(self.box, PAPER)
        # A tall image is for a phone: as wide as its screen, with letters as large.
        self._unit = width / 480 if height > width else min(height / 720, width / 1280)

    def px(self, size: float) -> int:
        """Convert a size from pixels of an image 1280 x 720, or 480 wide, to pixels of this one."""
        return max(1, round(size * self._unit))

    def fill(self, box: Box, colour: Colour) -> None:
        """Fill a box."""
        self._rectangle(box, colour, -1)

    def frame(self, box: Box, colour: Colour, thickness: float = 1) -> None:
        """Draw a box's border, inside the box."""
        self._rectangle(box, colour, self.px(thickness))

    def _rectangle(self, box: Box, colour: Colour, thickness: int) -> None:
        end = (box.x + box.width - 1, box.y + box.height - 1)
        cv2_module().rectangle(self.image, (box.x, box.y), end, colour, thickness)

    def picture(self, box: Box, picture: Image, *, smooth: bool = True) -> Box:
        """Draw an image as large as the box allows, keeping its aspect; return its box."""
        cv2 = cv2_module()
        place = box.around(*picture.shape[:2])
        if picture.shape[:2] != (place.height, place.width):
            shrinks = picture.shape[0] > place.height
            grows = cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST
            how = cv2.INTER_AREA if shrinks else grows
            picture = cv2.resize(picture, (place.width, place.height), interpolation=how)
        self.image[place.y : place.y + place.height, place.x : place.x + place.width] = picture
        return place

    def text(
        self,
        text: str,
        x: int,
        y: int,
        *,
        size: float = 14,
        colour: Colour = INK,
        room: int | None = None,
        right: bool = False,
    ) -> int:
        """Draw a line of text.

        Args:
            text: truncated to `room`.
            x: its left end, or its right end if `right`.
            y: the top of the line, which is about `1.6 * size` high.
            size: letter height, in pixels of a 1280 x 720 image.
            colour: BGR.
            room: maximum width in pixels; None: to the edge of the canvas.
            right: align its right end with `x`.

        Returns:
            Its width in pixels.
        """
        height = max(6, self.px(size))
        room = (x if right else self.box.width - x) if room is None else room
        mask = _mask(_fitting(legible(text), room, height), height)
        high, wide = mask.shape
        left = x - wide if right else x
        part = self.image[y : y + high, max(left, 0) : left + wide]
        mask = mask[: part.shape[0], : part.shape[1], None]
        part += ((np.array(colour, np.int32) - part) * mask // 255).astype(np.uint8)
        return int(wide)

    def paragraph(self, text: str, box: Box, *, size: float = 13, colour: Colour = FAINT) -> int:
        """Draw a text with line wrapping; return its height in pixels."""
        height, y = max(6, self.px(size)), box.y
        line = ""
        for word in [*text.split(), "\n"]:
            longer = f"{line} {word}".strip()
            if line and (word == "\n" or text_width(longer, height) > box.width):
                if y + 1.6 * height > box.y + box.height + 2:
                    break
                self.text(line, box.x, y, size=size, colour=colour, room=box.width)
                y += round(1.6 * height)
                longer = word
            line = longer
        return y - box.y

    def bar(self, box: Box, share: float, colour: Colour) -> None:
        """Draw a bar, filled to a fraction 0..1."""
        self.fill(box, RULE)
        if filled := round(box.width * min(max(share, 0.0), 1.0)):
            self.fill(Box(box.x, box.y, filled, box.height), colour)


def text_width(text: str, height: int) -> int:
    """Return the width in pixels of letters `height` pixels high."""
    return int(_mask(legible(text), height).shape[1])


@lru_cache(maxsize=4096)
def _fitting(text: str, room: int, height: int) -> str:
    """Truncate a text to at most `room` pixels, ending in two dots."""
    if not text or text_width(text, height) <= room:
        return text
    while text and text_width(f"{text}..", height) > room:
        text = text[:-1]
    return f"{text}.." if text else ""


@lru_cache(maxsize=2048)
def _mask(text: str, height: int) -> Image:
    """Return a text's pixel coverage, 0..255; cached, since drawing it takes about 0.1 ms."""
    cv2 = cv2_module()
    scale, font = height / 28, cv2.FONT_HERSHEY_SIMPLEX
    (width, _), _ = cv2.getTextSize(text or " ", font, scale, 1)
    canvas = np.zeros((round(1.6 * height), max(1, width + 1), 3), np.uint8)
    cv2.putText(
        canvas, text, (0, round(1.15 * height)), font, scale, (255, 255, 255), 1, cv2.LINE_AA
    )
    return np.ascontiguousarray(canvas[..., 0])
