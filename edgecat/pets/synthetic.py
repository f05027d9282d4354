"""Synthetic pets: cats and dogs drawn from a seed, for training and tests without a download.

A scene (view, pose, fur, background, light, occluders) is drawn first, independently of the
species; then an animal of either species is placed in it. Colour and position therefore carry
no information about the species: only ears, muzzle, eyes, build and tail do.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecat.pets.bodies import POSES
from edgecat.pets.coats import Dice, coats
from edgecat.pets.exposure import expose, occlude
from edgecat.pets.heads import BLACK, PINK, Looks
from edgecat.pets.paint import Brush, Colour, Points, blend, cv2
from edgecat.pets.scenery import background
from edgecat_runtime.errors import UserError
from edgecat_runtime.system.atomic import write_error

LABELS = ("cat", "dog")
_SMALLEST = 16
_DRAWN_POSES = ("face", "face", "sitting", "standing", "standing", "lying")  # by frequency
_EYES: tuple[Colour, ...] = (
    (60, 190, 210), (80, 200, 130), (40, 130, 190), (190, 160, 90), (40, 70, 120), (30, 45, 75),
)  # fmt: skip


def draw_pet(
    rng_seed: int, species: int, size: int = 128, *, pose: str | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw one animal.

    The same seed gives the same bytes for a version of OpenCV; with the other species it gives the
    other animal in the same scene; with another size the same image, finer or coarser.

    Args:
        rng_seed: 0 or more.
        species: 0 a cat, 1 a dog: an index into `LABELS`.
        size: Height and width in pixels, 16 or more.
        pose: `face`, `sitting`, `standing` or `lying`; None: random.

    Returns:
        The image, uint8 (size, size, 3) BGR, and the mask of the animal, uint8 (size, size),
        0 or 255.

    Raises:
        UserError: A negative seed, an unknown species or pose, or too small a size.
    """
    _check(rng_seed, species, size)
    if pose not in (None, *POSES):
        raise UserError(f"unknown pose {pose!r}; expected {', '.join(POSES)}")
    side = max(2 * 64, size * 3 // 2)
    dice = Dice(rng_seed, 0)
    drawn = _DRAWN_POSES[dice.below(len(_DRAWN_POSES))]
    draw, box = POSES[pose or drawn]
    frame = _framed(dice, box, side)
    picture, mask = background(Dice(rng_seed, 1), side), np.zeros((side, side), np.uint8)
    angle = dice.between(0, 2 * math.pi)
    looks, ink = _looks(dice)
    brush = Brush(
        picture=picture,
        mask=mask,
        coats=coats(Dice(rng_seed, 2), side, frame),
        light=(math.cos(angle), -abs(math.sin(angle))),
        fluff=dice.between(0.0, 0.035),
        ink=ink,
        frame=frame,
        noise=_roughness()[(start := dice.below(896)) : start + 128],
    )
    draw(brush, species, looks)
    occlude(Dice(rng_seed, 4), picture, mask)
    smooth = cv2.INTER_AREA if side >= 2 * size else cv2.INTER_LINEAR
    picture = cv2.resize(picture, (size, size), interpolation=smooth)
    mask = cv2.resize(mask, (size, size), interpolation=smooth)
    return expose(Dice(rng_seed, 5), picture), np.where(mask > 127, 255, 0).astype(np.uint8)


def _framed(dice: Dice, box: tuple[float, float, float, float], side: int) -> Points:
    """Return the (3, 3) matrix from the animal's units to pixels: position, size, turn, mirror."""
    left, top, right, bottom = box
    scale = dice.between(0.78, 1.12) * side / max(right - left, bottom - top)
    turn, flip = dice.between(-0.22, 0.22), 1 if dice.chance(0.5) else -1
    c, s = scale * math.cos(turn), scale * math.sin(turn)
    matrix = np.array([[c * flip, -s, 0], [s * flip, c, 0], [0, 0, 1.0]])
    centre = matrix @ ((left + right) / 2, (top + bottom) / 2, 1)
    for axis in (0, 1):
        matrix[axis, 2] = dice.between(0.4, 0.6) * side - centre[axis]
    return matrix


@lru_cache(maxsize=1)
def _roughness() -> Points:
    """Return numbers (1024, 2) in -1..1 that roughen the outlines of all animals."""
    dice = Dice(0, 3)
    return np.array([dice.between(-1, 1) for _ in range(2048)]).reshape(1024, 2)


def _looks(dice: Dice) -> tuple[Looks, Colour]:
    """Draw the traits of an animal of either species, and the colour of its lines."""
    skin = blend(PINK, BLACK, dice.between(0, 0.6))
    ink = blend(dice.fur(), BLACK, dice.between(0.55, 0.95))
    looks = Looks(
        iris=_EYES[dice.below(len(_EYES))],
        skin=skin,
        nose=blend(PINK, BLACK, dice.between(0.2, 1.0)),
        whiskers=blend((250, 250, 250), BLACK, 1.0 if dice.chance(0.3) else 0.0),
        collar=dice.colour() if dice.chance(0.35) else None,
        pale=dice.chance(0.5),
        yaw=dice.between(-1, 1),
        nod=dice.between(-1, 1),
        tilt=dice.between(-0.3, 0.3),
        awake=1.0 if dice.chance(0.8) else dice.between(0.3, 0.8),
        u=np.array([dice.between(0, 1) for _ in range(32)]),
    )
    return looks, ink


def synthetic_pets(
    count: int, seed: int = 0, size: int = 64
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw `count` pets, cats and dogs alternating, each in its own scene.

    Image i of seed s is `draw_pet(s * 1_000_000 + i, i % 2, size)`.

    Returns:
        Images, uint8 (count, size, size, 3) BGR, and labels, int64 (count,), indices of `LABELS`.

    Raises:
        UserError: A negative seed or count, or a size that is too small.
    """
    if not 0 <= count <= 1_000_000:
        raise UserError(f"the number of synthetic pets is {count}; expected 0 to 1,000,000")
    _check(seed, 0, size)
    labels = np.arange(count, dtype=np.int64) % len(LABELS)
    pictures = np.empty((count, size, size, 3), np.uint8)
    for number in range(count):
        pictures[number] = draw_pet(seed * 1_000_000 + number, number % len(LABELS), size)[0]
    return pictures, labels


def write_pets(folder: str | Path, count: int, seed: int = 0, size: int = 128) -> Path:
    """Write `count` pets as JPEG into `folder/cat` and `folder/dog`, for `scan`.

    The images are those of `synthetic_pets` with the same seed, numbered from 1.

    Returns:
        The folder.

    Raises:
        UserError: As `synthetic_pets`, or the folder cannot be written.
    """
    if not 0 <= count <= 1_000_000:
        raise UserError(f"the number of synthetic pets is {count}; expected 0 to 1,000,000")
    for number in range(count):
        species = number % len(LABELS)
        picture, _ = draw_pet(seed * 1_000_000 + number, species, size)
        data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
        _write(Path(folder) / LABELS[species] / f"{number + 1:06d}.jpg", data)
    return Path(folder)


def _write(path: Path, data: bytes) -> None:
    """Write without the fsync of `atomic_write`: a drawing can be drawn again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise write_error(path, error) from error


def _check(seed: int, species: int, size: int) -> None:
    if seed < 0:
        raise UserError(f"the seed is {seed}; expected 0 or more")
    if species not in range(len(LABELS)):
        raise UserError(f"unknown species {species}; expected 0 (cat) or 1 (dog)")
    if size < _SMALLEST:
        raise UserError(f"the image size is {size} pixels; expected {_SMALLEST} or more")
