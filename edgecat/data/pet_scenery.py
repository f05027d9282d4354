"""What surrounds the drawn pets: fur colours and patterns, backgrounds, things in front, light.

All of it is drawn without knowing which animal it is for.
"""

from __future__ import annotations

import math
import random
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgecat.data.pet_paint import Colour, Image, Points, blend, bow, cv2, ellipse, loop

_TILE = 256
FURS: tuple[Colour, ...] = (
    (38, 34, 36), (72, 66, 64), (128, 122, 116), (176, 172, 168), (240, 242, 244), (196, 220, 236),
    (70, 130, 214), (90, 160, 226), (110, 150, 186), (60, 96, 146), (40, 58, 92), (150, 178, 206),
)  # fmt: skip
"""Black, charcoal, grey, silver, white, cream, ginger, golden, tan, brown, chocolate, sand."""


class Dice:
    """Uniform numbers for one stage of one picture; no stage disturbs another."""

    def __init__(self, seed: int, stage: int) -> None:
        self._draw = random.Random(f"{seed}/{stage}").random

    def between(self, low: float, high: float) -> float:
        """Draw a number in [low, high)."""
        return low + (high - low) * self._draw()

    def below(self, count: int) -> int:
        """Draw a whole number in 0..count-1."""
        return int(self._draw() * count)

    def chance(self, share: float) -> bool:
        """Say yes with this probability."""
        return self._draw() < share

    def colour(self, low: float = 20, high: float = 245) -> Colour:
        """Draw any colour, seldom a garish one."""
        grey, vivid = self.between(low, high), self.between(0, 70)
        b, g, r = (grey + self.between(-vivid, vivid) for _ in range(3))
        return _colour(b, g, r)

    def fur(self) -> Colour:
        """Draw a fur colour, a little off the list."""
        b, g, r = FURS[self.below(len(FURS))]
        lift, warm = self.between(-14, 14), self.between(-8, 8)
        return _colour(b + lift - warm, g + lift, r + lift + warm)


def _colour(*channels: float) -> Colour:
    b, g, r = (min(255.0, max(8.0, channel)) for channel in channels)
    return b, g, r


@lru_cache(maxsize=1)
def _tiles() -> dict[str, Image]:
    """Textures (768, 768), 0..255: tiles of 256 that join without a seam, 3 x 3 of them."""
    rng = np.random.default_rng(20140904)
    wide, middle, fine = (_noise(rng, cells) for cells in (5, 12, 40))
    y, x = np.mgrid[0:_TILE, 0:_TILE] / _TILE
    wave = np.sin(2 * math.pi * (7 * x + 1.1 * wide + 0.25 * middle))
    tiles = {
        "solid": 40 * middle,
        "patches": 127 + 1600 * (wide - 0.12),
        "stripes": 127 + 420 * (wave - 0.25 + 0.25 * fine),
        "spots": 127 + 700 * (middle - 0.32),
        "ticked": 127 + 110 * fine + 90 * _noise(rng, 64),
        "cloud": 127 + 190 * wide + 50 * middle,
        "grain": 127 + 90 * fine + 40 * _noise(rng, 100),
    }
    return {
        name: np.tile(np.clip(tile, 0, 255).astype(np.uint8), (3, 3))
        for name, tile in tiles.items()
    }


def _noise(rng: np.random.Generator, cells: int) -> NDArray[np.float64]:
    """Smooth noise that repeats, about -1..1, with `cells` bumps across the tile."""
    grid = np.tile(rng.uniform(-1, 1, (cells, cells)).astype(np.float32), (3, 3))
    large: NDArray[np.float64] = cv2.resize(
        grid, (3 * _TILE, 3 * _TILE), interpolation=cv2.INTER_CUBIC
    )
    return large[_TILE : 2 * _TILE, _TILE : 2 * _TILE].astype(np.float64)


@lru_cache(maxsize=4)
def _grain(side: int) -> Image:
    """Sensor noise (side, side, 3) about 128, of standard deviation 16."""
    rng = np.random.default_rng(19980518)
    return np.clip(rng.normal(128, 16, (side, side, 3)), 0, 255).astype(np.uint8)


@lru_cache(maxsize=4)
def _hairs(side: int) -> Image:
    """Fine hairs drawn out downwards, (side, side, 3), about 128."""
    rng = np.random.default_rng(7)
    hairs = rng.normal(0, 60, (192, 192)).astype(np.float32)
    hairs = cv2.resize(cv2.GaussianBlur(hairs, (0, 0), sigmaX=0.8, sigmaY=3.0), (side, side))
    return np.repeat((128 + np.clip(hairs, -40, 40)).astype(np.uint8)[..., None], 3, 2)


def _ramp(a: Colour, b: Colour) -> Image:
    """Give the table (1, 256, 3) that colours a texture from `a` (at 0) to `b` (at 255)."""
    ends = np.array([[a, b]], np.float32)
    weight = np.arange(256, dtype=np.float32)[:, None] / 255
    return (ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * weight).astype(np.uint8)


def _coloured(name: str, a: Colour, b: Colour, matrix: Points, side: int) -> Image:
    """Lay a texture from colour to colour; the (2, 3) `matrix` takes pixels into its tile."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    field = cv2.warpAffine(_tiles()[name], matrix, (side, side), flags=flags)
    return cv2.LUT(cv2.cvtColor(field, cv2.COLOR_GRAY2BGR), _ramp(a, b))  # type: ignore[no-any-return]


def coats(dice: Dice, side: int, frame: Points) -> tuple[Image, Image]:
    """Paint the main coat, patterned, and the second one, plain: each (side, side, 3).

    The pattern moves with `frame`, the animal's (2, 3) matrix from its units to pixels.
    """
    kind = ("solid", "patches", "stripes", "spots", "ticked")[dice.below(5)]
    base, second = dice.fur(), dice.fur()
    if kind in ("stripes", "ticked", "spots") and dice.chance(0.75):
        second = blend(base, (20, 22, 28), dice.between(0.35, 0.7))
    matrix = np.linalg.inv(frame)[:2] * dice.between(36, 60)
    middle = matrix @ (side / 2, side / 2, 1)
    matrix[:, 2] += (dice.between(1, 2) * _TILE, dice.between(1, 2) * _TILE) - middle
    main = _coloured(kind, base, second, matrix, side)
    pale = dice.fur() if dice.chance(0.3) else blend(base, (244, 246, 248), dice.between(0.5, 1))
    plain = np.empty_like(main)
    plain[:] = pale
    hairs = _hairs(side)
    return cv2.multiply(main, hairs, scale=1 / 128), cv2.multiply(plain, hairs, scale=1 / 128)


def background(dice: Dice, side: int) -> Image:
    """Paint a background (side, side, 3): plain, clouded, a room, a lawn or lights out of focus."""
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
    """Lay a texture between two colours; `zoom` is tile pixels for each pixel at side 64."""
    scale, x, y = zoom * 64 / side, dice.between(0, _TILE), dice.between(0, _TILE)
    matrix = np.array([[scale, 0, _TILE + x], [0, scale, _TILE + y]])
    return _coloured(name, a, b, matrix, side)


def _clouded(dice: Dice, side: int) -> Image:
    name = ("cloud", "stripes", "spots", "patches", "grain")[dice.below(5)]
    a = dice.colour()
    return _textured(
        dice, side, name, a, blend(a, dice.colour(), dice.between(0.2, 0.9)), dice.between(0.8, 3)
    )


def _room(dice: Dice, side: int) -> Image:
    """Paint a wall, now and then papered, with a picture or window, and a floor with a rug."""
    wall, floor = dice.colour(60, 245), dice.colour(30, 200)
    picture = np.empty((side, side, 3), np.uint8)
    picture[:] = wall
    if dice.chance(0.4):
        step = side // (4 + dice.below(8))
        for x in range(dice.below(step + 1), side, 2 * step):
            picture[:, x : x + step] = blend(wall, (255, 255, 255), 0.25)
    x, y, w, h = (
        dice.between(a, b) * side for a, b in ((0, 0.8), (0, 0.3), (0.15, 0.4), (0.15, 0.35))
    )
    if dice.chance(0.6):
        cv2.rectangle(picture, (int(x), int(y)), (int(x + w), int(y + h)), dice.colour(), -1)
        inner = (int(x + w * 0.1), int(y + h * 0.1)), (int(x + w * 0.9), int(y + h * 0.9))
        cv2.rectangle(picture, *inner, dice.colour(100, 255), -1)
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
        hill = np.concatenate([np.stack([xs, ridge], 1), [(side, side), (0, side)]]).astype(
            np.int32
        )
        cv2.fillPoly(picture, [hill], dice.colour(40, 190))
    level = int(dice.between(0.5, 0.85) * side)
    ground = ((40, 120, 80), (50, 160, 110), (235, 235, 230), (120, 190, 220), (60, 90, 130))[
        dice.below(5)
    ]
    meadow = _textured(
        dice, side, "grain", blend(ground, (0, 0, 0), 0.35), blend(ground, (220, 255, 255), 0.3), 2
    )
    picture[level:] = meadow[level:]
    return picture  # type: ignore[no-any-return]


def _lights(dice: Dice, side: int) -> Image:
    """Paint discs of light as a lens out of focus gives them."""
    picture = _plain(dice, side)
    for _ in range(4 + dice.below(8)):
        centre = (int(dice.between(0, side)), int(dice.between(0, side)))
        colour = blend(
            picture[centre[1], centre[0]].tolist(), dice.colour(), dice.between(0.2, 0.7)
        )
        cv2.circle(picture, centre, int(dice.between(0.04, 0.16) * side), colour, -1, cv2.LINE_AA)
    return picture


def _clutter(dice: Dice, picture: Image) -> None:
    """Add a few cushions, roofs and sticks, so that no outline alone means an animal."""
    side = picture.shape[0]
    for _ in range(dice.below(4)):
        x, y, r = (
            dice.between(0, side),
            dice.between(0.1 * side, side),
            dice.between(0.08, 0.3) * side,
        )
        colour, kind = dice.colour(), dice.below(4)
        if kind == 0:
            shape = ellipse(x, y, r, r * dice.between(0.4, 1), dice.between(0, 3))
        elif kind == 1:
            shape = np.array([(x - r, y + r), (x + dice.between(-r, r), y - r), (x + r, y + r)])
        elif kind == 2:
            shape = np.array([(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)]) * 1.0
        else:
            shape = bow(
                (x, y - 2 * r), (x + dice.between(-r, r), y + 2 * r), dice.between(-0.4, 0.4)
            )
            cv2.polylines(
                picture, [shape.astype(np.int32)], False, colour, 1 + int(r / 6), cv2.LINE_AA
            )
            continue
        cv2.fillPoly(picture, [shape.astype(np.int32)], colour, cv2.LINE_AA)


def occlude(dice: Dice, picture: Image, mask: Image) -> None:
    """Put something in front of the animal, in two pictures of five, and take it from the mask."""
    if not dice.chance(0.4):
        return
    side = picture.shape[0]
    shapes = (_bars, _leaf, _edge, _ball, _blades)[dice.below(5)](dice, side)
    colour = dice.colour()
    for number, shape in enumerate(shapes):
        pixels = np.rint(shape).astype(np.int32)
        shaded = blend(colour, (0, 0, 0), 0.25 * (number % 2))
        cv2.fillPoly(picture, [pixels], shaded, cv2.LINE_AA)
        cv2.fillPoly(mask, [pixels], 0)


def _bars(dice: Dice, side: int) -> list[Points]:
    count, thick, lean = (
        2 + dice.below(3),
        dice.between(0.015, 0.04) * side,
        dice.between(-0.2, 0.2) * side,
    )
    gap, start = side / count, dice.between(0, side / count)
    xs = [start + gap * number for number in range(count)]
    return [
        np.array([(x, -9), (x + thick, -9), (x + thick + lean, side + 9), (x + lean, side + 9)])
        for x in xs
    ]


def _leaf(dice: Dice, side: int) -> list[Points]:
    """Let leaves hang in from a corner."""
    x, y = (0.0, 1.0)[dice.below(2)] * side, (0.0, 1.0)[dice.below(2)] * side
    leaves = []
    for _ in range(2 + dice.below(3)):
        end = (
            x + (0.5 - x / side) * dice.between(0.3, 1.1) * side,
            y + (0.5 - y / side) * dice.between(0.3, 1.1) * side,
        )
        wide = dice.between(0.1, 0.25)
        leaves.append(np.concatenate([bow((x, y), end, wide), bow(end, (x, y), wide)]))
    return leaves


def _edge(dice: Dice, side: int) -> list[Points]:
    """Let the animal look over a wall, or round a door."""
    depth, lean = dice.between(0.1, 0.3) * side, dice.between(-0.08, 0.08) * side
    wall = np.array(
        [
            (-9.0, side - depth),
            (side + 9, side - depth + lean),
            (side + 9, side + 9),
            (-9, side + 9),
        ]
    )
    if dice.chance(0.5):
        return [wall]
    wall = wall[:, ::-1]
    return [wall if dice.chance(0.5) else np.array([side, 0]) + wall * (-1, 1)]


def _ball(dice: Dice, side: int) -> list[Points]:
    x, y, r = (
        dice.between(0.1, 0.9) * side,
        dice.between(0.65, 1) * side,
        dice.between(0.08, 0.17) * side,
    )
    stripe = [ellipse(x, y, r * 0.3, r, dice.between(0, 3))]
    return [ellipse(x, y, r, r), *stripe]


def _blades(dice: Dice, side: int) -> list[Points]:
    """Let grass stand in front, from the lower edge."""
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
    """Take the photograph: a light that falls off, brightness, warmth, blur and sensor noise."""
    side = picture.shape[0]
    grid = np.full((4, 4, 3), dice.between(0.65, 1.15), np.float32)
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
    strength, x, y = dice.between(0, 0.7), dice.below(64), dice.below(64)
    noise = _grain(side + 64)[y : y + side, x : x + side]
    return cv2.addWeighted(picture, 1, noise, strength, -128 * strength)  # type: ignore[no-any-return]
