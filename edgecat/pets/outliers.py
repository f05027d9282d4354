"""Drawn frames without an animal.

Five kinds, each drawn from a seed: scenery, textures, pages of text, noise, and plain frames
(black, grey, white, coloured, shaded). They calibrate a model's `unsure` (`edgecat evaluate
--calibrate`) and, from other seeds, measure how often it is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat.pets.coats import Dice
from edgecat.pets.paint import Colour, cv2
from edgecat.pets.scenery import background
from edgecat_runtime.errors import UserError
from edgecat_runtime.types import Image

HEIGHT, WIDTH = 240, 320
_LETTERS = "abcdefghijklmnopqrstuvwxyz    etaoinshrdlu0123456789.,"
_FONTS = 8  # OpenCV's Hershey fonts: plain, serif and script
_Plane = NDArray[Any]


def draw_outlier(kind: str, seed: int) -> Image:
    """Draw one frame, uint8 (240, 320, 3) BGR.

    Args:
        kind: one of `KINDS`.
        seed: 0 or more; the same seed gives the same bytes on one version of OpenCV.

    Raises:
        UserError: an unknown kind or a negative seed.
    """
    if kind not in KINDS or seed < 0:
        raise UserError(
            f"invalid outlier {kind!r}, seed {seed}; expected one of {', '.join(KINDS)}"
        )
    return _PAINTERS[kind](Dice(seed, 1000 + KINDS.index(kind)), np.random.default_rng(seed))


def _scenery(dice: Dice, rng: np.random.Generator) -> Image:
    side = background(dice, WIDTH)
    return np.ascontiguousarray(side[(WIDTH - HEIGHT) // 2 :][:HEIGHT])


def _texture(dice: Dice, rng: np.random.Generator) -> Image:
    """Paint a pattern between two colours, rotated, lit from one side, or blurred."""
    painter = (_stripes, _checks, _dots, _clouds, _bricks, _rings, _weave)[dice.below(7)]
    turn, unit = dice.between(0, math.pi), dice.between(6, 60)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    u = (x * math.cos(turn) + y * math.sin(turn)) / unit
    v = (y * math.cos(turn) - x * math.sin(turn)) / unit
    field = np.clip(painter(dice, rng, u, v), 0, 1)
    picture = _mixed(field, dice.colour(), dice.colour())
    if dice.chance(0.5):
        picture = _shaded(dice, picture)
    if dice.chance(0.3):
        picture = cv2.GaussianBlur(picture, (0, 0), dice.between(0.5, 4))
    return _grainy(dice, rng, picture)


def _stripes(dice: Dice, rng: np.random.Generator, u: _Plane, v: _Plane) -> _Plane:
    sharp = dice.between(0.6, 8)
    return np.asarray(0.5 + sharp * np.sin(2 * math.pi * u) / 2)


def _checks(dice: Dice, rng: np.random.Generator, u: _Plane, v: _Plane) -> _Plane:
    return ((np.floor(u) + np.floor(v)) % 2).astype(np.float32)


def _dots(dice: Dice, rng: np.random.Generator, u: _Plane, v: _Plane) -> _Plane:
    radius = dice.between(0.15, 0.45)
    apart = np.hypot(u - np.round(u), v - np.round(v))
    return np.asarray((radius - apart) * 12 + 0.5)


def _clouds(dice: Dice, rng: np.random.Generator, u: _Plane, v: _Plane) -> _Plane:
    total = np.zeros((HEIGHT, WIDTH), np.float32)
    for octave in range(2 + dice.below(4)):
        cells = 3 * 2**octave
        grid = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
        total += cv2.resize(grid, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC) / 1.7**octave
    return np.asarray(0.5 + dice.between(0.3, 2) * total)


def _bricks(dice: Dice, rng: np.random.Generator, u: _Plane, v: _Plane) -> _Plane:
    row = np.floor(v * 2)
    along = (u + 0.5 * (row % 2)) % 1
    joint = dice.between(0.03, 0.1)
    wall = (along > joint) & ((v * 2) % 1 > 2 * joint)
    shade = 0.75 + 0.25 * np.sin(12.9 * row + 78.2 * np.floor(u + 0.5 * (row % 2)))
    return np.asarray(wall * shade)


def _rings(dice: Dice, rng: np.random.Generator, u: _Plane, v: _Plane) -> _Plane:
    """Paint rings around a point: wood, ripples, a target."""
    wobble = dice.between(0, 0.6) * np.sin(2 * u) * np.sin(1.7 * v)
    far = np.hypot(u - dice.between(-3, 8), dice.between(0.2, 1) * (v - dice.between(-3, 5)))
    return np.asarray(0.5 + dice.between(0.5, 3) * np.sin(2 * math.pi * (far + wobble)) / 2)


def _weave(dice: Dice, rng: np.random.Generator, u: _Plane, v: _Plane) -> _Plane:
    over = (np.floor(u) + np.floor(v)) % 2 > 0
    return np.where(over, np.abs(np.sin(math.pi * u)), np.abs(np.sin(math.pi * v)))


def _text(dice: Dice, rng: np.random.Generator) -> Image:
    """Write a page, a screen or a sign: lines of letters, dark on light or light on dark."""
    paper, ink = dice.colour(180, 250), dice.colour(5, 90)
    if dice.chance(0.3):
        paper, ink = ink, paper
    picture = _filled(paper)
    if dice.chance(0.4):
        picture = _shaded(dice, picture)
    font, scale = dice.below(_FONTS), dice.between(0.35, 2.2)
    step, margin = int(26 * scale * dice.between(0.9, 1.6)), int(dice.between(2, 40))
    for line in range(HEIGHT // step + 1):
        if dice.chance(0.12):
            continue
        words = "".join(_LETTERS[dice.below(len(_LETTERS))] for _ in range(6 + dice.below(60)))
        words = words.upper() if dice.chance(0.2) else words
        place = (margin, step + line * step)
        cv2.putText(picture, words, place, font, scale, ink, 1 + int(scale), cv2.LINE_AA)
    if dice.chance(0.5):
        matrix = cv2.getRotationMatrix2D(
            (WIDTH / 2, HEIGHT / 2), dice.between(-25, 25), dice.between(0.8, 1.5)
        )
        picture = cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), borderValue=paper)
    return _grainy(dice, rng, picture)


def _noise(dice: Dice, rng: np.random.Generator) -> Image:
    """Draw grains of one size, grey or coloured: uniform, normal, salt and pepper, or streaks."""
    grain = (1, 1, 2, 4, 8, 16, 32)[dice.below(7)]
    channels = 1 if dice.chance(0.4) else 3
    shape = (-(-HEIGHT // grain), -(-WIDTH // grain), channels)
    kind = dice.below(4)
    if kind == 0:
        field = rng.uniform(0, 255, shape)
    elif kind == 1:
        field = rng.normal(dice.between(40, 210), dice.between(10, 90), shape)
    elif kind == 2:
        field = np.where(rng.uniform(size=shape) < dice.between(0.02, 0.5), 255, 0)
    else:
        field = np.repeat(rng.uniform(0, 255, (shape[0], 1, channels)), shape[1], 1)
    pixels = np.repeat(np.clip(field, 0, 255).astype(np.uint8), 3 // channels, 2)
    smooth = cv2.INTER_CUBIC if dice.chance(0.4) else cv2.INTER_NEAREST
    large = cv2.resize(
        pixels, (shape[1] * grain, shape[0] * grain), interpolation=smooth
    )  # at least as large as the frame
    return np.ascontiguousarray(large[:HEIGHT, :WIDTH])


def _plain(dice: Dice, rng: np.random.Generator) -> Image:
    """Fill the frame with one colour or a gradient, with or without sensor noise."""
    kind = dice.below(5)
    level = dice.between(0, 255)
    colour = (
        (0.0, 0.0, 0.0),
        (255.0, 255.0, 255.0),
        (level, level, level),
        dice.colour(),
        dice.colour(),
    )[kind]
    picture = _filled(colour)
    if kind == 4:
        picture = _shaded(dice, picture)
    return picture if dice.chance(0.3) else _grainy(dice, rng, picture)


def _filled(colour: Colour) -> Image:
    picture = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    picture[:] = np.clip(colour, 0, 255).astype(np.uint8)
    return picture


def _mixed(field: _Plane, a: Colour, b: Colour) -> Image:
    """Interpolate colours from `a` (at 0) to `b` (at 1) by a field (h, w)."""
    mixed = np.asarray(a) + field[..., None] * (np.asarray(b) - np.asarray(a))
    return np.asarray(np.clip(mixed, 0, 255), np.uint8)


def _shaded(dice: Dice, picture: Image) -> Image:
    """Light an image from one side, or more in the centre than at the edges."""
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j].astype(np.float32)
    turn, depth = dice.between(0, 2 * math.pi), dice.between(0.2, 0.9)
    side = (x * math.cos(turn) + y * math.sin(turn)) / 2 + 0.5
    field = side if dice.chance(0.6) else np.hypot(x, y) / math.sqrt(2)
    toned = picture * (1 - depth * np.clip(field, 0, 1))[..., None]
    return np.asarray(toned, np.uint8)


def _grainy(dice: Dice, rng: np.random.Generator, picture: Image) -> Image:
    """Add sensor noise, faint or strong."""
    strength = dice.between(0, 12) if dice.chance(0.7) else 0.0
    noisy = picture + rng.normal(0, strength, picture.shape) if strength else picture
    return np.clip(noisy, 0, 255).astype(np.uint8)


_PAINTERS: dict[str, Callable[[Dice, np.random.Generator], Image]] = {
    "scenery": _scenery,
    "textures": _texture,
    "text": _text,
    "noise": _noise,
    "plain": _plain,
}
KINDS = tuple(_PAINTERS)
