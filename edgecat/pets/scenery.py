"""Backgrounds for the drawn pets, painted independently of the animal."""

from __future__ import annotations

import numpy as np

from edgecat.pets.coats import TILE, Dice, textured
from edgecat.pets.paint import Colour, blend, bow, cv2, ellipse
from edgecat_runtime.types import Image

_GROUNDS: tuple[Colour, ...] = (
    (40, 120, 80), (50, 160, 110), (235, 235, 230), (120, 190, 220), (60, 90, 130),
)  # fmt: skip
"""Meadow, young grass, snow, sand, earth."""


def background(dice: Dice, side: int) -> Image:
    """Paint a background (side, side, 3): plain, clouds, a room, a lawn or lights out of focus."""
    half = side // 2
    painter = (_plain, _clouded, _room, _lawn, _lights)[dice.below(5)]
    picture = painter(dice, half)
    _clutter(dice, picture)
    if dice.chance(0.6):
        width = 1 + 2 * dice.below(4)
        picture = cv2.blur(picture, (width, width))
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_LINEAR)  # type: ignore[no-any-return]


def _plain(dice: Dice, side: int) -> Image:
    corners = np.array([dice.colour() for _ in range(4)], np.float32).reshape(2, 2, 3)
    if dice.chance(0.4):
        corners[1] = corners[0]
    return cv2.resize(corners, (side, side), interpolation=cv2.INTER_LINEAR).astype(np.uint8)  # type: ignore[no-any-return]


def _textured(dice: Dice, side: int, name: str, a: Colour, b: Colour, zoom: float) -> Image:
    """Render a texture between two colours; `zoom` is tile pixels per pixel at side 64."""
    scale, x, y = zoom * 64 / side, dice.between(0, TILE), dice.between(0, TILE)
    matrix = np.array([[scale, 0, TILE + x], [0, scale, TILE + y]])
    return textured(name, a, b, matrix, side)


def _clouded(dice: Dice, side: int) -> Image:
    name = ("cloud", "stripes", "spots", "patches", "grain")[dice.below(5)]
    first = dice.colour()
    second = blend(first, dice.colour(), dice.between(0.2, 0.9))
    return _textured(dice, side, name, first, second, dice.between(0.8, 3))


def _room(dice: Dice, side: int) -> Image:
    """Paint a wall, sometimes with wallpaper, a picture or a window, and a floor with a rug."""
    wall, floor = dice.colour(60, 245), dice.colour(30, 200)
    picture = np.empty((side, side, 3), np.uint8)
    picture[:] = wall
    if dice.chance(0.4):
        step = side // (4 + dice.below(8))
        for left in range(dice.below(step + 1), side, 2 * step):
            picture[:, left : left + step] = blend(wall, (255, 255, 255), 0.25)
    if dice.chance(0.6):
        corner = np.array([dice.between(0, 0.8), dice.between(0, 0.3)]) * side
        extent = np.array([dice.between(0.15, 0.4), dice.between(0.15, 0.35)]) * side
        for margin, colour in ((0, dice.colour()), (0.1, dice.colour(100, 255))):
            ends = (corner + extent * margin, corner + extent * (1 - margin))
            first, last = (tuple(end.astype(int).tolist()) for end in ends)
            cv2.rectangle(picture, first, last, colour, -1)
    level = int(dice.between(0.5, 0.85) * side)
    boards = _textured(dice, side, "grain", floor, blend(floor, (255, 255, 255), 0.2), 1)
    picture[level:] = boards[level:]
    if dice.chance(0.5):
        centre = (int(dice.between(0.2, 0.8) * side), int(dice.between(level, side)))
        cv2.ellipse(picture, centre, (side // 2, side // 8), 0, 0, 360, dice.colour(), -1)
    return picture


def _lawn(dice: Dice, side: int) -> Image:
    """Paint a sky, hills and a meadow, snow or sand."""
    light, deep = dice.colour(150, 255), dice.colour(100, 230)
    picture = cv2.resize(np.array([[light], [deep]], np.float32), (side, side)).astype(np.uint8)
    for _ in range(2):
        level = dice.between(0.3, 0.7) * side
        xs = np.linspace(0, side, 12)
        ridge = level + side * 0.1 * np.sin(xs / side * dice.between(3, 9) + dice.between(0, 6))
        hill = np.concatenate([np.stack([xs, ridge], 1), [(side, side), (0, side)]])
        cv2.fillPoly(picture, [hill.astype(np.int32)], dice.colour(40, 190))
    level = int(dice.between(0.5, 0.85) * side)
    ground = _GROUNDS[dice.below(len(_GROUNDS))]
    dark, bright = blend(ground, (0, 0, 0), 0.35), blend(ground, (220, 255, 255), 0.3)
    meadow = _textured(dice, side, "grain", dark, bright, 2)
    picture[level:] = meadow[level:]
    return picture  # type: ignore[no-any-return]


def _lights(dice: Dice, side: int) -> Image:
    """Paint discs of light, as from a lens out of focus."""
    picture = _plain(dice, side)
    for _ in range(4 + dice.below(8)):
        centre = (int(dice.between(0, side)), int(dice.between(0, side)))
        behind = picture[centre[1], centre[0]].tolist()
        colour = blend(behind, dice.colour(), dice.between(0.2, 0.7))
        cv2.circle(picture, centre, int(dice.between(0.04, 0.16) * side), colour, -1, cv2.LINE_AA)
    return picture


def _clutter(dice: Dice, picture: Image) -> None:
    """Add cushions, roofs, boxes and ropes, so that an outline alone does not imply an animal."""
    side = picture.shape[0]
    for _ in range(dice.below(4)):
        x, y = dice.between(0, side), dice.between(0.1 * side, side)
        r, lean = dice.between(0.08, 0.3) * side, dice.between(-1, 1)
        shape = (
            ellipse(x, y, r, r * (0.7 + 0.3 * lean), dice.between(0, 3)),
            np.array([(x - r, y + r), (x + lean * r, y - r), (x + r, y + r)]),
            np.array([(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)]),
            bow((x, y - 2 * r), (x + lean * r, y + 2 * r), 0.4 * lean),
        )[kind := dice.below(4)].astype(np.int32)
        if kind == 3:
            cv2.polylines(picture, [shape], False, dice.colour(), 1 + int(r / 6), cv2.LINE_AA)
        else:
            cv2.fillPoly(picture, [shape], dice.colour(), cv2.LINE_AA)
