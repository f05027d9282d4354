"""Colours, textures and fur coats, drawn at random independently of the species."""

from __future__ import annotations

import math
import random
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgecat.pets.paint import Colour, Points, blend, cv2
from edgecat_runtime.types import Image

TILE = 256
FURS: tuple[Colour, ...] = (
    (38, 34, 36), (72, 66, 64), (128, 122, 116), (176, 172, 168), (240, 242, 244), (196, 220, 236),
    (70, 130, 214), (90, 160, 226), (110, 150, 186), (60, 96, 146), (40, 58, 92), (150, 178, 206),
)  # fmt: skip
"""Black, charcoal, grey, silver, white, cream, ginger, golden, tan, brown, chocolate, sand."""


class Dice:
    """Uniform random numbers for one stage of one image, independent of other stages."""

    def __init__(self, seed: int, stage: int) -> None:
        self._draw = random.Random(f"{seed}/{stage}").random

    def between(self, low: float, high: float) -> float:
        """Draw a number in [low, high)."""
        return low + (high - low) * self._draw()

    def below(self, count: int) -> int:
        """Draw an integer in 0..count-1."""
        return int(self._draw() * count)

    def chance(self, share: float) -> bool:
        """Return True with this probability."""
        return self._draw() < share

    def colour(self, low: float = 20, high: float = 245) -> Colour:
        """Draw a colour, rarely a garish one."""
        grey, vivid = self.between(low, high), self.between(0, 70)
        b, g, r = (grey + self.between(-vivid, vivid) for _ in range(3))
        return _colour(b, g, r)

    def fur(self) -> Colour:
        """Draw a fur colour close to one of the list."""
        b, g, r = FURS[self.below(len(FURS))]
        lift, warm = self.between(-14, 14), self.between(-8, 8)
        return _colour(b + lift - warm, g + lift, r + lift + warm)


def _colour(*channels: float) -> Colour:
    b, g, r = (min(255.0, max(8.0, channel)) for channel in channels)
    return b, g, r


@lru_cache(maxsize=1)
def _tiles() -> dict[str, Image]:
    """Return textures (768, 768), 0..255: seamless tiles of 256, repeated 3 x 3."""
    rng = np.random.default_rng(20140904)
    wide, middle, fine = (_noise(rng, cells) for cells in (5, 12, 40))
    x = np.arange(TILE) / TILE
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
    """Return smooth tileable noise, roughly -1..1, with `cells` bumps across the tile."""
    grid = np.tile(rng.uniform(-1, 1, (cells, cells)).astype(np.float32), (3, 3))
    large: NDArray[np.float64] = cv2.resize(
        grid, (3 * TILE, 3 * TILE), interpolation=cv2.INTER_CUBIC
    )
    return large[TILE : 2 * TILE, TILE : 2 * TILE].astype(np.float64)


@lru_cache(maxsize=4)
def _hairs(side: int) -> Image:
    """Return fine vertical hairs, (side, side, 3), around 128."""
    rng = np.random.default_rng(7)
    hairs = rng.normal(0, 60, (192, 192)).astype(np.float32)
    hairs = cv2.resize(cv2.GaussianBlur(hairs, (0, 0), sigmaX=0.8, sigmaY=3.0), (side, side))
    return np.repeat((128 + np.clip(hairs, -40, 40)).astype(np.uint8)[..., None], 3, 2)


def _ramp(a: Colour, b: Colour) -> Image:
    """Return the table (1, 256, 3) that colours a texture from `a` (at 0) to `b` (at 255)."""
    ends = np.array([[a, b]], np.float32)
    weight = np.arange(256, dtype=np.float32)[:, None] / 255
    return (ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * weight).astype(np.uint8)


def textured(name: str, a: Colour, b: Colour, matrix: Points, side: int) -> Image:
    """Render a texture between two colours; the (2, 3) `matrix` maps pixels into its tile."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    field = cv2.warpAffine(_tiles()[name], matrix, (side, side), flags=flags)
    return cv2.LUT(cv2.cvtColor(field, cv2.COLOR_GRAY2BGR), _ramp(a, b))  # type: ignore[no-any-return]


def coats(dice: Dice, side: int, frame: Points) -> tuple[Image, Image]:
    """Paint the patterned main coat and the plain second one, each (side, side, 3).

    The pattern follows `frame`, the animal's (2, 3) matrix from its units to pixels.
    """
    kind = ("solid", "patches", "stripes", "spots", "ticked")[dice.below(5)]
    base, second = dice.fur(), dice.fur()
    if kind in ("stripes", "ticked", "spots") and dice.chance(0.75):
        second = blend(base, (20, 22, 28), dice.between(0.35, 0.7))
    matrix = np.asarray(np.linalg.inv(frame)[:2] * dice.between(36, 60), np.float64)
    middle = matrix @ (side / 2, side / 2, 1)
    matrix[:, 2] += (dice.between(1, 2) * TILE, dice.between(1, 2) * TILE) - middle
    main = textured(kind, base, second, matrix, side)
    pale = dice.fur() if dice.chance(0.3) else blend(base, (244, 246, 248), dice.between(0.5, 1))
    plain = np.empty_like(main)
    plain[:] = pale
    hairs = _hairs(side)
    return cv2.multiply(main, hairs, scale=1 / 128), cv2.multiply(plain, hairs, scale=1 / 128)
