"""Occluders, light, lens and sensor between a drawn pet and the viewer."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from edgecat.pets.coats import Dice
from edgecat.pets.paint import Points, blend, bow, cv2, ellipse
from edgecat_runtime.types import Image


def occlude(dice: Dice, picture: Image, mask: Image) -> None:
    """Add an occluder in one image of three, and remove its area from the mask."""
    if not dice.chance(0.33):
        return
    side = picture.shape[0]
    shapes = (_bars, _leaf, _edge, _ball, _blades)[dice.below(5)](dice, side)
    colour = dice.colour()
    for number, shape in enumerate(shapes):
        pixels = np.rint(shape).astype(np.int32)
        shaded = blend(colour, (0, 0, 0), 0.25 * (number % 2))
        cv2.fillPoly(picture, [pixels], shaded, cv2.LINE_AA)
        cv2.fillPoly(mask, [pixels], 0, cv2.LINE_AA)


def _bars(dice: Dice, side: int) -> list[Points]:
    """Put the animal behind a fence."""
    count, thick = 2 + dice.below(3), dice.between(0.015, 0.04) * side
    lean, start = dice.between(-0.2, 0.2) * side, dice.between(0, side / count)
    bar = np.array([(0, -9), (thick, -9), (thick + lean, side + 9), (lean, side + 9)])
    return [np.array([start + number * side / count, 0]) + bar for number in range(count)]


def _leaf(dice: Dice, side: int) -> list[Points]:
    """Draw leaves hanging in from a corner."""
    corner = np.array([dice.below(2), dice.below(2)], np.float64)
    leaves = []
    for _ in range(2 + dice.below(3)):
        reach = np.array([dice.between(0.3, 1.1), dice.between(0.3, 1.1)])
        stem, tip = corner * side, (corner + (0.5 - corner) * reach) * side
        wide = dice.between(0.1, 0.25)
        leaves.append(np.concatenate([bow(stem, tip, wide), bow(tip, stem, wide)]))
    return leaves


def _edge(dice: Dice, side: int) -> list[Points]:
    """Draw a wall or door that the animal looks over or around."""
    near, far = side * (1 - dice.between(0.1, 0.3)), side + 9.0
    slant = near + dice.between(-0.08, 0.08) * side
    wall = np.array([(-9.0, near), (far, slant), (far, far), (-9.0, far)])
    if dice.chance(0.5):
        return [wall]
    door = wall[:, ::-1]
    return [door if dice.chance(0.5) else (side, 0) + door * (-1, 1)]


def _ball(dice: Dice, side: int) -> list[Points]:
    """Draw a striped ball in front."""
    x, y = dice.between(0.1, 0.9) * side, dice.between(0.65, 1) * side
    r = dice.between(0.08, 0.17) * side
    return [ellipse(x, y, r, r), ellipse(x, y, r * 0.3, r, dice.between(0, 3))]


def _blades(dice: Dice, side: int) -> list[Points]:
    """Draw grass in front, from the lower edge."""
    blades = []
    for _ in range(10 + dice.below(14)):
        x, high, lean = (
            dice.between(0, side),
            dice.between(0.1, 0.4) * side,
            dice.between(-0.15, 0.15) * side,
        )
        blades.append(
            np.array([(x, side + 2), (x + lean, side - high), (x + side * 0.03, side + 2)])
        )
    return blades


def expose(dice: Dice, picture: Image) -> Image:
    """Simulate the exposure: light fall-off, brightness, warmth, blur and sensor noise."""
    side = picture.shape[0]
    grid = np.full((4, 4, 3), dice.between(0.75, 1.15), np.float32)
    fall = np.linspace(-1, 1, 4)
    grid *= (
        1 + (dice.between(-0.3, 0.3) * fall[:, None] + dice.between(-0.3, 0.3) * fall)[..., None]
    )
    grid[1:3, 1:3] *= 1 + dice.between(0, 0.25)
    warm = dice.between(-0.1, 0.1)
    grid *= np.array([1 - warm, 1, 1 + warm], np.float32)
    lit = cv2.resize(
        np.clip(grid * 128, 0, 255).astype(np.uint8), (side, side), interpolation=cv2.INTER_CUBIC
    )
    picture = cv2.multiply(picture, lit, scale=1 / 128)
    if dice.chance(0.3):
        picture = cv2.GaussianBlur(picture, (0, 0), dice.between(0.3, 0.9) * max(side, 64) / 96)
    strength, x, y = dice.between(0, 0.55), dice.below(64), dice.below(64)
    noise = _grain(side + 64)[y : y + side, x : x + side]
    return cv2.addWeighted(picture, 1, noise, strength, -128 * strength)  # type: ignore[no-any-return]


@lru_cache(maxsize=4)
def _grain(side: int) -> Image:
    """Return sensor noise (side, side, 3) around 128, with standard deviation 16."""
    rng = np.random.default_rng(19980518)
    return np.clip(rng.normal(128, 16, (side, side, 3)), 0, 255).astype(np.uint8)
