"""The heads of a cat and a dog, as brush shapes.

The unit is the radius of the head, whose centre is the origin. No colour is decided here: both
animals use the colours of the scene.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgecat.pets.paint import Brush, Colour, Points, blend, bow, ellipse, loop, mirrored

CAT = 0
BLACK: Colour = (24, 20, 22)
WHITE: Colour = (250, 250, 250)
PINK: Colour = (150, 140, 225)


@dataclass(frozen=True)
class Looks:
    """The traits that a scene gives to an animal of either species.

    Attributes:
        iris: Colour of the eyes.
        skin: Colour of the inner ears and, on some, of the nose.
        nose: Colour of the nose.
        whiskers: Colour of the whiskers.
        collar: Colour of the collar, or None.
        pale: Whether muzzle, chest and paws have the second coat.
        yaw: How far the head is turned, -1..1, positive towards +x.
        nod: How far the face looks up (negative) or down, -1..1.
        tilt: How far the head leans, in radians.
        awake: How far the eyes are open, 0.25..1.
        u: Uniform numbers in 0..1 for the build of the body, (32,).
    """

    iris: Colour
    skin: Colour
    nose: Colour
    whiskers: Colour
    collar: Colour | None
    pale: bool
    yaw: float
    nod: float
    tilt: float
    awake: float
    u: Points

    def between(self, index: int, low: float, high: float) -> float:
        """Return the build's number `index`, scaled between two values."""
        return low + (high - low) * float(self.u[index])


def draw_head(brush: Brush, species: int, looks: Looks) -> None:
    """Draw the head around the brush's origin."""
    head = brush.at(0, 0, 1, looks.tilt)
    (_cat_head if species == CAT else _dog_head)(head, looks)


def _cat_head(brush: Brush, looks: Looks) -> None:
    yaw, nod = looks.yaw, looks.nod
    cheek, crown = looks.between(0, 0.94, 1.12), looks.between(1, 0.76, 0.88)
    tall, spread = looks.between(2, 0.62, 0.92), looks.between(3, 0.66, 0.92)
    for side in (-1, 1):
        _pricked_ear(brush, looks, side, (0.2, -0.66), (0.88, -0.22), (spread, -0.72 - tall))
    half = [
        (0, -crown),
        (0.46, -0.74),
        (0.84, -0.36),
        (cheek, 0.14),
        (0.8, 0.58),
        (0.36, 0.8),
        (0, 0.84),
    ]
    brush.fur(mirrored(half))
    x, y = 0.26 * yaw, 0.16 * nod
    _cat_muzzle(brush.at(x * 1.35, y + 0.02), looks)
    gap, big = looks.between(4, 0.4, 0.48), looks.between(5, 0.2, 0.26)
    for side in (-1, 1):
        narrow = 1 - 0.35 * max(0.0, yaw * side)
        eye = brush.at(x + side * gap * narrow, y - 0.08, 1, side * -0.2)
        _eye(eye, looks, big * narrow, big * 0.86, slit=looks.between(6, 0.14, 0.5))


def _cat_muzzle(brush: Brush, looks: Looks) -> None:
    coat = int(looks.pale)
    wide = looks.between(7, 0.19, 0.25)
    brush.fur(ellipse(0, 0.6, 0.22, 0.15), coat=coat, line=False)
    pads = [ellipse(side * wide * 0.85, 0.4, wide, 0.19, side * 0.2) for side in (-1, 1)]
    brush.fur(*pads, coat=coat, shade=1.06, line=False)
    brush.flat(
        loop([(-0.13, 0.17), (0, 0.15), (0.13, 0.17), (0.05, 0.27), (0, 0.3), (-0.05, 0.27)]),
        colour=looks.nose,
    )
    ink = blend(brush.ink, BLACK, 0.5)
    brush.line(
        bow((0, 0.28), (0, 0.42), 0),
        bow((0, 0.42), (0.27, 0.44), -0.35),
        bow((-0.27, 0.44), (0, 0.42), -0.35),
        colour=ink,
        width=0.035,
    )
    long = looks.between(8, 0.85, 1.35)
    hairs = [
        bow(
            (side * 0.24, 0.37 + 0.06 * row),
            (side * (0.24 + long), 0.24 + 0.22 * row + looks.between(9, -0.15, 0.15)),
            side * 0.08,
        )
        for side in (-1, 1)
        for row in range(3)
    ]
    brush.line(*hairs, colour=looks.whiskers, width=0.025)


def _dog_head(brush: Brush, looks: Looks) -> None:
    yaw, nod = looks.yaw, looks.nod
    wide, crown = looks.between(0, 0.7, 0.86), looks.between(1, 0.84, 0.98)
    kind = looks.between(2, 0, 1)
    if kind > 0.86:
        for side in (-1, 1):
            _pricked_ear(brush, looks, side, (0.2, -0.78), (0.74, -0.5), (0.62, -1.62))
    half = [
        (0, -crown),
        (0.4, -0.88),
        (wide - 0.06, -0.48),
        (wide, 0.0),
        (0.64, 0.5),
        (0.4, 0.86),
        (0, 0.96),
    ]
    brush.fur(mirrored(half))
    x, y = 0.24 * yaw, 0.14 * nod
    gap, big = looks.between(4, 0.32, 0.4), looks.between(5, 0.12, 0.16)
    for side in (-1, 1):
        narrow = 1 - 0.3 * max(0.0, yaw * side)
        _eye(brush.at(x + side * gap * narrow, y - 0.2), looks, big * narrow, big, slit=1.0)
    _dog_muzzle(brush.at(x * 1.6, y), looks)
    if kind <= 0.86:
        _hanging_ears(brush, looks, folded=kind > 0.56)


def _dog_muzzle(brush: Brush, looks: Looks) -> None:
    coat, turn = int(looks.pale), 0.3 * looks.yaw
    wide, long = looks.between(6, 0.36, 0.46), looks.between(7, 0.84, 1.02)
    if looks.between(8, 0, 1) > 0.55:
        _tongue(brush.at(turn, long))
    snout = [
        (0, -0.14),
        (0.2, 0.0),
        (wide * 0.86, 0.4),
        (wide, 0.68),
        (0.26, long),
        (0, long + 0.04),
    ]
    outline = mirrored(snout)
    brush.fur(
        outline + (turn * 0.6, 0) * np.clip(outline[:, 1:] / 0.4, 0, 1), coat=coat, shade=1.06
    )
    nose = brush.at(turn * 1.1, 0.34 + 0.04 * looks.nod)
    broad = looks.between(9, 0.2, 0.27)
    nose.flat(
        mirrored([(0, -0.15), (broad * 0.8, -0.12), (broad, 0.0), (0.09, 0.15), (0, 0.17)]),
        colour=looks.nose,
    )
    nose.flat(ellipse(-0.06, -0.07, 0.07, 0.03), colour=blend(looks.nose, WHITE, 0.5))
    ink = blend(brush.ink, BLACK, 0.5)
    mouth = [
        bow((0, 0.15), (0, 0.36), 0),
        bow((0, 0.34), (wide * 0.8, 0.3), -0.3),
        bow((-wide * 0.8, 0.3), (0, 0.34), -0.3),
    ]
    nose.line(*mouth, colour=ink, width=0.04)


def _tongue(brush: Brush) -> None:
    brush.flat(mirrored([(0, -0.15), (0.17, -0.1), (0.18, 0.18), (0, 0.3)]), colour=PINK)
    brush.line(bow((0, 0), (0, 0.18), 0), colour=blend(PINK, BLACK, 0.3), width=0.03)


def _eye(brush: Brush, looks: Looks, rx: float, ry: float, *, slit: float) -> None:
    """Draw an eye; `slit` is the width of the pupil as a fraction of its height."""
    open_ry = ry * looks.awake
    brush.flat(ellipse(0, 0, rx * 1.18, open_ry * 1.2), colour=blend(brush.ink, BLACK, 0.7))
    if looks.awake < 0.4:
        return
    brush.flat(ellipse(0, 0, rx, open_ry), colour=looks.iris)
    tall = min(ry * 0.9, open_ry)
    wide = tall * slit if slit < 1 else min(rx * 0.7, tall)
    brush.flat(ellipse(0.1 * rx * looks.yaw, 0, wide, tall if slit < 1 else wide), colour=BLACK)
    brush.flat(ellipse(-0.3 * rx, -0.38 * open_ry, 0.22 * rx, 0.22 * rx), colour=WHITE)


def _pricked_ear(
    brush: Brush,
    looks: Looks,
    side: int,
    inner: tuple[float, float],
    outer: tuple[float, float],
    tip: tuple[float, float],
) -> None:
    """Draw an upright triangular ear; the one turned away is narrower."""
    flip = np.array([side, 1.0])
    away = 1 - 0.3 * max(0.0, looks.yaw * side)
    a, b, top = (np.array(p) * flip * (away, 1) for p in (inner, outer, tip))
    ear = np.concatenate([bow(a, top, 0.1 * side), bow(top, b, 0.13 * side)])
    brush.fur(ear)
    middle = (a + b) / 2 + (0, 0.05)
    brush.flat(middle + (ear - middle) * (0.58, 0.66), colour=looks.skin)


def _hanging_ears(brush: Brush, looks: Looks, *, folded: bool) -> None:
    long, out = looks.between(3, 0.35, 0.95), looks.between(10, 0.95, 1.2)
    coat = int(looks.u[11] > 0.7)
    for side in (-1, 1):
        if folded:
            half = [
                (0.22, -0.86),
                (0.62, -1.12),
                (0.98, -0.98),
                (out, -0.52),
                (0.98, -0.3),
                (0.74, -0.52),
            ]
        else:
            half = [
                (0.34, -0.86),
                (0.78, -0.84),
                (out, -0.2),
                (out + 0.02, long),
                (0.84, long + 0.14),
                (0.7, 0.1),
                (0.56, -0.5),
            ]
        away = 1 - 0.16 * max(0.0, looks.yaw * side)
        brush.shadow(np.array([side * 0.97 * away, 1.0]) * loop(half), 0.25, 0.12)
        brush.fur(np.array([side * away, 1.0]) * loop(half), coat=coat, shade=0.86)
