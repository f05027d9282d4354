"""Shapes and fur, from which the drawn pets and their surroundings are painted.

Importing this module requires OpenCV. Coordinates are (x, y), y downwards; colours BGR, 0..255.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.system.opencv import cv2_module
from edgecat_runtime.types import Image

cv2 = cv2_module()

Points = NDArray[np.float64]
Pixels = NDArray[np.int32]
Colour = tuple[float, float, float]

_STEPS = 6  # points per control point of a curve
_PLAIN = 200  # the shade that leaves a colour as it is
_BOW_STEPS = np.arange(8) / 7
_TIP = np.array([(0.5, 0.87), (0.87, 0.5), (1, 0), (0.87, -0.5), (0.5, -0.87)])
_SHIFT = 4  # fractional bits of the coordinates handed to OpenCV


@lru_cache(maxsize=1)
def _catmull_rom() -> Points:
    """Return the weights (steps, 4) of the uniform Catmull-Rom spline (Catmull and Rom, 1974)."""
    t = np.arange(_STEPS)[:, None] / _STEPS
    return 0.5 * np.hstack(
        [
            -t + 2 * t**2 - t**3,
            2 - 5 * t**2 + 3 * t**3,
            t + 4 * t**2 - 3 * t**3,
            -(t**2) + t**3,
        ]
    )


def loop(points: Sequence[Sequence[float]] | Points) -> Points:
    """Close a smooth curve through control points (n, 2)."""
    p = np.asarray(points, dtype=np.float64)
    return _through(np.concatenate([p[-1:], p, p[:2]]))


def _through(p: Points) -> Points:
    """Interpolate a smooth curve from point 1 of (n, 2) to point n - 2, exclusive."""
    around = np.array([p[:-3], p[1:-2], p[2:-1], p[3:]]).transpose(1, 0, 2)
    curve: Points = (_catmull_rom() @ around).reshape(-1, 2)
    return curve


def mirrored(half: Sequence[Sequence[float]]) -> Points:
    """Close a smooth symmetric curve from its right half, top to bottom, both ends at x = 0."""
    right = np.asarray(half, dtype=np.float64)
    return loop(np.concatenate([right, right[-2:0:-1] * (-1, 1)]))


def ellipse(x: float, y: float, rx: float, ry: float, angle: float = 0.0) -> Points:
    """Outline of an ellipse turned by `angle` radians."""
    c, s = math.cos(angle), math.sin(angle)
    outline: Points = _circle() @ np.array([[rx * c, rx * s], [-ry * s, ry * c]]) + (x, y)
    return outline


@lru_cache(maxsize=1)
def _circle() -> Points:
    turn = np.arange(24) * (math.pi / 12)
    return np.stack([np.cos(turn), np.sin(turn)], 1)


def bow(start: Sequence[float] | Points, end: Sequence[float] | Points, bulge: float) -> Points:
    """Return a curve from `start` to `end`, bulging left of the chord by `bulge` of its length."""
    (x, y), (u, v) = start, end
    t = _BOW_STEPS
    away = 4 * bulge * t * (1 - t)
    return np.array([x + t * (u - x) + away * (v - y), y + t * (v - y) - away * (u - x)]).T


def ribbon(path: Sequence[Sequence[float]] | Points, start: float, end: float) -> Points:
    """Return the outline of a limb along a smooth path, radius `start` to `end`, round tip."""
    p = np.asarray(path, dtype=np.float64)
    p = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    line = np.concatenate([_through(p), p[-2:-1]])
    along = np.concatenate([line[1:2] - line[:1], line[2:] - line[:-2], line[-1:] - line[-2:-1]])
    along /= np.maximum(np.hypot(along[:, :1], along[:, 1:]), 1e-9)
    across = along[:, ::-1] * (-1, 1)
    side = across * (start + (end - start) / (len(line) - 1) * np.arange(len(line)))[:, None]
    tip = line[-1] + end * (_TIP @ np.array([along[-1], across[-1]]))
    return np.concatenate([line + side, tip, (line - side)[::-1]])


def blend(a: Colour, b: Colour, share: float) -> Colour:
    """Mix two colours: `a` at 0, `b` at 1."""
    return tuple(u + (v - u) * share for u, v in zip(a, b, strict=True))  # type: ignore[return-value]


@dataclass(frozen=True)
class Brush:
    """Paints shapes, given in its own coordinates, onto an image, and maintains the animal's mask.

    Attributes:
        picture: uint8 (side, side, 3), painted in place.
        mask: uint8 (side, side), 255 where the animal is, painted in place.
        coats: Two images of plain fur, the main coat and the second one.
        light: Unit vector towards the light.
        fluff: Distance, in this brush's coordinates, that fur extends beyond the outlines.
        ink: Colour of the lines around fur.
        frame: (2, 3) matrix from this brush's coordinates to pixels.
        noise: Uniform -1..1 numbers (n, 2) that roughen outlines.
    """

    picture: Image
    mask: Image
    coats: tuple[Image, Image]
    light: tuple[float, float]
    fluff: float
    ink: Colour
    frame: Points
    noise: Points

    def at(self, x: float, y: float, size: float = 1.0, angle: float = 0.0) -> Brush:
        """Return a rotated brush with its origin at (x, y) and a unit of `size` in this one."""
        c, s = size * math.cos(angle), size * math.sin(angle)
        local = np.array([[c, -s, x], [s, c, y], [0, 0, 1]])
        return replace(self, frame=self.frame @ local, fluff=self.fluff / size)

    @property
    def unit(self) -> float:
        """Pixels per unit."""
        return math.hypot(self.frame[0, 0], self.frame[1, 0])

    def fur(self, *outlines: Points, coat: int = 0, shade: float = 1.0, line: bool = True) -> None:
        """Fill outlines with fur, shaded as one soft body."""
        shapes = [self._pixels(o + self.fluff * self.noise[: len(o)]) for o in outlines]
        if (box := self._box(shapes)) is None:
            return
        x0, y0, x1, y1 = box
        roi = np.s_[y0:y1, x0:x1]
        local = [shape - (x0 << _SHIFT, y0 << _SHIFT) for shape in shapes]
        if line:
            thick = max(2, round(0.05 * self.unit))
            cv2.polylines(self.picture[roi], local, True, self.ink, thick, cv2.LINE_8, _SHIFT)
        inside = np.zeros((y1 - y0, x1 - x0), np.uint8)
        for shape in local:
            cv2.fillPoly(inside, [shape], 255, cv2.LINE_8, _SHIFT)
        relief = cv2.cvtColor(_relief(inside, self.light, shade), cv2.COLOR_GRAY2BGR)
        fur = cv2.multiply(self.coats[coat][roi], relief, scale=1 / _PLAIN)
        cv2.copyTo(fur, inside, self.picture[roi])
        cv2.copyTo(inside, inside, self.mask[roi])

    def shadow(self, outline: Points, strength: float, spread: float) -> None:
        """Draw the soft shadow of an outline."""
        shape = self._pixels(outline)
        if (box := self._box([shape], margin=int(spread * self.unit) + 1)) is None:
            return
        x0, y0, x1, y1 = box
        roi = np.s_[y0:y1, x0:x1]
        dark = np.full((y1 - y0, x1 - x0), 255, np.uint8)
        local = shape - (x0 << _SHIFT, y0 << _SHIFT)
        cv2.fillPoly(dark, [local], 255 * (1 - strength), cv2.LINE_8, _SHIFT)
        dark = cv2.blur(dark, (2 * int(spread * self.unit / 2) + 1,) * 2)
        dark = cv2.cvtColor(dark, cv2.COLOR_GRAY2BGR)
        self.picture[roi] = cv2.multiply(self.picture[roi], dark, scale=1 / 255)

    def flat(self, *outlines: Points, colour: Colour) -> None:
        """Fill outlines with one colour: eyes, noses, collars. They belong to the animal."""
        shapes = [self._pixels(outline) for outline in outlines]
        cv2.fillPoly(self.picture, shapes, colour, cv2.LINE_AA, _SHIFT)
        cv2.fillPoly(self.mask, shapes, 255, cv2.LINE_8, _SHIFT)

    def line(self, *paths: Points, colour: Colour, width: float) -> None:
        """Draw thin open lines of `width` units (one pixel at least): mouths, whiskers."""
        shapes = [self._pixels(path) for path in paths]
        thick = max(1, round(width * self.unit))
        cv2.polylines(self.picture, shapes, False, colour, thick, cv2.LINE_AA, _SHIFT)

    def _pixels(self, outline: Points) -> Pixels:
        """Return OpenCV's fixed-point coordinates, whose integers are pixel centres."""
        matrix, shift = self._fixed
        return np.rint(outline @ matrix + shift).astype(np.int32)

    @cached_property
    def _fixed(self) -> tuple[Points, Points]:
        fixed = self.frame[:2] * (1 << _SHIFT)
        return np.ascontiguousarray(fixed[:, :2].T), fixed[:, 2] - (1 << _SHIFT) / 2

    def _box(self, shapes: list[Pixels], margin: int = 2) -> tuple[int, int, int, int] | None:
        """Return the bounding pixels (left, top, right, bottom) of shapes; None if outside."""
        side = self.picture.shape[0]
        x, y, width, height = cv2.boundingRect(np.concatenate(shapes))
        x0, y0 = max(0, (x >> _SHIFT) - margin), max(0, (y >> _SHIFT) - margin)
        x1 = min(side, (x + width >> _SHIFT) + margin + 1)
        y1 = min(side, (y + height >> _SHIFT) + margin + 1)
        return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


def _relief(inside: Image, light: tuple[float, float], shade: float) -> Image:
    """Shade a flat shape as a relief: its blurred mask is its height."""
    width = max(3, math.isqrt(cv2.countNonZero(inside)) // 3) | 1
    height = cv2.blur(inside, (width, width), borderType=cv2.BORDER_CONSTANT)
    height = cv2.blur(height, (width, width), borderType=cv2.BORDER_CONSTANT)
    lx, ly = (0.11 * width * component for component in light)
    kernel = np.array([[0, ly, 0], [lx, 0.35, -lx], [0, -ly, 0]], np.float32) * shade
    relief: Image = cv2.filter2D(height, cv2.CV_8U, kernel, delta=(_PLAIN - 75) * shade)
    return relief
