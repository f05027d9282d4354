"""A canvas with what the live picture is drawn from: boxes, texts, pictures and bars."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edgecat_runtime.outputs.overlay import legible
from edgecat_runtime.system.opencv import cv2_module
from edgecat_runtime.types import Image

Colour = tuple[int, int, int]

# BGR; the page's own colours in the dark.
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
    """A rectangle in pixels: left, top, width and height; never less than one pixel."""

    x: int
    y: int
    width: int
    height: int

    def cut_top(self, height: int, gap: int = 0) -> tuple[Box, Box]:
        """Part it into its upper `height` pixels and what is left below a gap."""
        height = max(1, min(height, self.height - gap - 1))
        below = self.height - height - gap
        return (
            Box(self.x, self.y, self.width, height),
            Box(self.x, self.y + height + gap, self.width, max(1, below)),
        )

    def cut_left(self, width: int, gap: int = 0) -> tuple[Box, Box]:
        """Part it into its left `width` pixels and what is left beyond a gap."""
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
        """Return the largest box inside of the shape (height, width), in the middle."""
        scale = min(self.width / width, self.height / height)
        wide, high = max(1, round(width * scale)), max(1, round(height * scale))
        return Box(
            self.x + (self.width - wide) // 2, self.y + (self.height - high) // 2, wide, high
        )

    def holds(self, x: float, y: float) -> bool:
        """Whether a pixel is inside."""
        return self.x <= x < self.x + self.width and self.y <= y < self.y + self.height


class Canvas:
    """A picture to draw on; all sizes grow with its height.

    Attributes:
        image: uint8 (height, width, 3) BGR.
        box: all of it.
    """

    def __init__(self, width: int, height: int) -> None:
        self.image: Image = np.empty((height, width, 3), np.uint8)
        self.box = Box(0, 0, width, height)
        self.fill(self.box, PAPER)
        self._unit = min(height / 720, width / 1280)

    def px(self, size: float) -> int:
        """What `size` pixels of a picture of 1280 x 720 are here."""
        return max(1, round(size * self._unit))

    def fill(self, box: Box, colour: Colour) -> None:
        """Fill a box."""
        self._rectangle(box, colour, -1)

    def frame(self, box: Box, colour: Colour, thickness: float = 1) -> None:
        """Draw a box's edge, on its inside."""
        self._rectangle(box, colour, self.px(thickness))

    def _rectangle(self, box: Box, colour: Colour, thickness: int) -> None:
        end = (box.x + box.width - 1, box.y + box.height - 1)
        cv2_module().rectangle(self.image, (box.x, box.y), end, colour, thickness)

    def picture(self, box: Box, picture: Image, *, smooth: bool = True) -> Box:
        """Show a picture as large as the box allows, with its own aspect; where it came to lie."""
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
            text: what does not fit into `room` is cut.
            x: its left end, or its right end where `right`.
            y: the top of the line, which is about `1.6 * size` high.
            size: of the letters, in pixels of a picture of 1280 x 720.
            colour: BGR.
            room: pixels that it may take; None: to the canvas' edge.
            right: whether it ends at `x`.

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
        """Draw a text over as many lines as it takes; the pixels that they are high."""
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
        """Draw a bar of which a share of 0..1 is filled."""
        self.fill(box, RULE)
        if filled := round(box.width * min(max(share, 0.0), 1.0)):
            self.fill(Box(box.x, box.y, filled, box.height), colour)


def text_width(text: str, height: int) -> int:
    """Width in pixels of letters that are `height` pixels high."""
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
    """How much of each pixel a text covers, 0..255: drawn once, for it costs a tenth of a ms."""
    cv2 = cv2_module()
    scale, font = height / 28, cv2.FONT_HERSHEY_SIMPLEX
    (width, _), _ = cv2.getTextSize(text or " ", font, scale, 1)
    canvas = np.zeros((round(1.6 * height), max(1, width + 1), 3), np.uint8)
    cv2.putText(
        canvas, text, (0, round(1.15 * height)), font, scale, (255, 255, 255), 1, cv2.LINE_AA
    )
    return np.ascontiguousarray(canvas[..., 0])
