"""The overlay: a bar with label, confidence and frame rate, readable on any frame size."""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np

from edgecat_runtime.system.opencv import cv2_module
from edgecat_runtime.types import Image

WHITE = (255, 255, 255)
GREY = (170, 170, 170)
SURE = (90, 200, 90)
UNSURE = (60, 170, 250)
UNSURE_BELOW = 0.7

# Letters that Unicode does not decompose into a base letter and an accent.
_PLAIN = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"}
    | {"đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th"}
)


def draw_overlay(image: Image, label: str, confidence: float, fps: float) -> None:
    """Draw the bar along the lower edge of a frame.

    A line under the text is as wide as the confidence: green, or orange if the answer is unsure.
    What does not fit is omitted: first the frame rate, then the end of the label, then all text.

    Args:
        image: uint8 (h, w, 3) BGR, contiguous; changed in place.
        label: any text; see `legible`.
        confidence: 0..1; 0 (`unsure`) is not shown.
        fps: frames per second; 0 is not shown.
    """
    cv2 = cv2_module()
    height, width = image.shape[:2]
    bar = min(height, max(22, round(min(height, width) * 0.075)))
    line = max(2, bar // 10)
    band = image[height - bar :]
    np.right_shift(band, 2, out=band)  # a quarter of the brightness: dark on any background
    color = SURE if confidence >= UNSURE_BELOW else UNSURE
    reach = round(min(max(confidence, 0.0), 1.0) * width)
    band[bar - line :, :reach] = color
    pen = _Pen(cv2, band, (bar - line) / 40, round((bar - line) * 0.72))
    answer = f"{confidence:.0%}" if confidence > 0 else ""
    rate = f"{fps:.1f} fps" if fps > 0 else ""
    margin = bar // 4
    free = width - 2 * margin
    label = pen.fit(legible(label), free - pen.width(f"  {answer}"))
    text = f"{label}  {answer}".lstrip()
    if pen.width(text) <= free:
        pen.draw(text, margin, WHITE)
    if rate and pen.width(text) + 2 * margin + pen.width(rate) <= free:
        pen.draw(rate, width - margin - pen.width(rate), GREY)


def legible(text: str) -> str:
    """Return a text as this OpenCV can draw it.

    OpenCV 5 draws Unicode. OpenCV 4 has only ASCII Hershey fonts and draws a question mark for each
    byte of any other character: there accents are dropped (`Kätzchen` becomes `Katzchen`) and a
    letter without an ASCII form becomes one question mark. Control characters become spaces.
    """
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    if hasattr(cv2_module(), "FontFace"):
        return text
    plain = unicodedata.normalize("NFKD", text.translate(_PLAIN))
    kept = (letter for letter in plain if not unicodedata.combining(letter))
    return "".join(letter if letter.isascii() else "?" for letter in kept)


class _Pen:
    """One font at one size on one band of the frame."""

    def __init__(self, cv2: Any, band: Image, scale: float, baseline: int) -> None:
        self._cv2 = cv2
        self._band = band
        self._scale = scale
        self._baseline = baseline
        # Duplex is drawn with double strokes, at half the cost of plain ones of thickness 2.
        self._font = cv2.FONT_HERSHEY_DUPLEX if scale >= 0.7 else cv2.FONT_HERSHEY_SIMPLEX

    def width(self, text: str) -> int:
        """Width of a text in pixels."""
        (width, _), _ = self._cv2.getTextSize(text, self._font, self._scale, 1)
        return int(width)

    def fit(self, text: str, room: int) -> str:
        """Truncate a text to at most `room` pixels, ending in two dots."""
        width = self.width(text)
        if width <= room or not text:
            return text
        text = text[: max(0, len(text) * room // width)]
        while text and self.width(f"{text}..") > room:
            text = text[:-1]
        return f"{text.rstrip(' ,')}.." if text else ""

    def draw(self, text: str, x: int, color: tuple[int, int, int]) -> None:
        """Draw a text with its left end at `x`."""
        self._cv2.putText(
            self._band,
            text,
            (x, self._baseline),
            self._font,
            self._scale,
            color,
            1,
            self._cv2.LINE_AA,
        )
