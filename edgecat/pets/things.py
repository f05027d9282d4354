"""Drawn things that are neither cats nor dogs, held before a camera in one scene."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from edgecat_runtime.system.opencv import cv2_module
from edgecat_runtime.types import Image

THINGS = ("mug", "bottle", "box", "ball")
_SIDE = 320
_SHAPES = {  # corners of the outline, y down, in units of the thing's size
    "mug": ((-0.6, -0.7), (0.6, -0.7), (0.55, 0.7), (-0.55, 0.7)),
    "bottle": (
        *((-0.16, -1.2), (0.16, -1.2), (0.16, -0.6), (0.42, -0.3)),
        *((0.42, 1.0), (-0.42, 1.0), (-0.42, -0.3), (-0.16, -0.6)),
    ),
    "box": ((-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)),
}
_COLOURS = {"mug": (60, 60, 200), "bottle": (70, 150, 60), "box": (170, 140, 40)}
_BALL = (40, 160, 230)


def draw_thing(thing: str, seed: int, *, scene: int = 0) -> Image:
    """Draw a thing, or the empty scene for any other name.

    Place, size, turn and light change with the seed; the scene and the thing's colour stay, as when
    somebody moves one thing before one camera.

    Args:
        thing: one of `THINGS`, or anything else.
        seed: of the drawing.
        scene: of what is behind it.

    Returns:
        uint8 (320, 320, 3), BGR.
    """
    cv2 = cv2_module()
    random = np.random.default_rng((seed, scene, len(thing)))
    shift = random.integers(0, 17, 2)
    image = _background(scene)[shift[0] : shift[0] + _SIDE, shift[1] : shift[1] + _SIDE].copy()
    size = random.uniform(45, 80)
    centre = random.uniform(100, _SIDE - 100, 2)
    turn = random.uniform(-0.5, 0.5)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    if thing == "ball":
        cv2.circle(image, _whole(centre), int(0.8 * size), _BALL, -1, cv2.LINE_AA)
        spot = _whole(centre - 0.3 * size)
        cv2.circle(image, spot, int(0.15 * size), (220, 240, 255), -1, cv2.LINE_AA)
    elif thing in _SHAPES:
        colour = _COLOURS[thing]
        if thing == "mug":
            handle = _whole(centre + rotation @ (0.65 * size, 0.0))
            width = max(3, int(0.14 * size))
            cv2.circle(image, handle, int(0.38 * size), colour, width, cv2.LINE_AA)
        corners = np.array(_SHAPES[thing]) * size @ rotation.T + centre
        cv2.fillPoly(image, [corners.astype(np.int32)], colour, cv2.LINE_AA)
        light = np.array(_SHAPES[thing]) * (0.25, 0.8) * size @ rotation.T + centre
        lighter = tuple(min(255, channel + 45) for channel in colour)
        cv2.fillPoly(image, [light.astype(np.int32)], lighter, cv2.LINE_AA)
    lit = image * random.uniform(0.8, 1.2) + random.normal(0, 4, image.shape)
    return np.asarray(lit.clip(0, 255), np.uint8)


def _whole(point: np.ndarray) -> tuple[int, int]:
    return int(point[0]), int(point[1])


@lru_cache(4)
def _background(scene: int) -> Image:
    """A wall, a table and some things on it, a little larger than an image."""
    cv2 = cv2_module()
    random = np.random.default_rng((scene, 77))
    coarse = random.integers(90, 200, (5, 5, 3)).astype(np.uint8)
    side = _SIDE + 16
    image = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    image[int(0.7 * side) :] = random.integers(60, 160, 3)
    for _ in range(6):
        left, top = random.integers(0, side - 40, 2).tolist()
        right, bottom = left + int(random.integers(15, 90)), top + int(random.integers(15, 90))
        colour = random.integers(40, 220, 3).tolist()
        cv2.rectangle(image, (left, top), (right, bottom), colour, int(random.integers(2, 6)))
    return np.asarray(image, np.uint8)
