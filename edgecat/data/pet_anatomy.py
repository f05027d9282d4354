"""How a cat and a dog are built: heads, bodies, ears and tails as shapes for a brush.

One unit is the radius of the head, whose middle is the origin; the animal faces the viewer or +x.
Nothing here decides a colour: both animals wear whatever coat the scene holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgecat.data.pet_paint import (
    Brush,
    Colour,
    Points,
    blend,
    bow,
    ellipse,
    loop,
    mirrored,
    ribbon,
)

CAT, DOG = 0, 1
BLACK: Colour = (24, 20, 22)
WHITE: Colour = (250, 250, 250)
PINK: Colour = (150, 140, 225)


@dataclass(frozen=True)
class Looks:
    """What a scene gives to an animal of either species; `u` are uniform numbers in 0..1.

    Attributes:
        iris: Colour of the eyes.
        skin: Colour of the inner ears and, on some, of the nose.
        nose: Colour of the nose.
        whiskers: Colour of the whiskers.
        collar: Colour of the collar, or None.
        pale: Whether muzzle, chest and paws wear the second coat.
        yaw: How far the head is turned, -1..1, positive towards +x.
        nod: How far the face looks up (negative) or down, -1..1.
        tilt: How far the head leans, in radians.
        awake: How far the eyes are open, 0.25..1.
        u: Numbers for the build of the body, (32,).
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
        """Give the build's number `index` between two values."""
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
        brush.flat(
            mirrored([(0, long - 0.15), (0.17, long - 0.1), (0.18, long + 0.18), (0, long + 0.3)])
            + (turn, 0),
            colour=PINK,
        )
        brush.line(
            bow((turn, long), (turn, long + 0.18), 0), colour=blend(PINK, BLACK, 0.3), width=0.03
        )
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


def _eye(brush: Brush, looks: Looks, rx: float, ry: float, *, slit: float) -> None:
    """Draw an eye; `slit` is the width of the pupil as a share of its height."""
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
    """Draw a standing triangular ear; the one turned away is narrower."""
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


def draw_face(brush: Brush, species: int, looks: Looks) -> None:
    """Draw head and chest from in front."""
    _front_torso(brush, species, looks)
    _head_over(brush, species, looks, drop=0.0)


def draw_sitting(brush: Brush, species: int, looks: Looks) -> None:
    """Draw the animal sitting, from in front."""
    cat = species == CAT
    brush.shadow(ellipse(0, 3.15, 1.6, 0.3), 0.4, 0.4)
    _tail(brush.at(0.8, 2.8), species, looks, upright=False)
    hip = looks.between(16, 0.5, 0.62)
    for side in (-1, 1):
        brush.fur(ellipse(side * 0.72, 2.55, hip, 0.66, side * 0.3), shade=0.94)
        brush.fur(ellipse(side * 0.95, 3.08, 0.36, 0.16), coat=int(looks.pale))
    _front_torso(brush, species, looks)
    thick = looks.between(17, 0.17, 0.22) if cat else looks.between(17, 0.23, 0.3)
    for side in (-1, 1):
        x = side * (0.3 if cat else 0.42)
        brush.fur(ribbon([(x * 1.1, 1.7), (x, 2.4), (x, 3.0)], thick * 1.15, thick))
        _paw(brush.at(x, 3.08), looks, thick * 1.2)
    _head_over(brush, species, looks, drop=0.0)


def _front_torso(brush: Brush, species: int, looks: Looks) -> None:
    if species == CAT:
        shoulder, hip = looks.between(12, 0.6, 0.76), looks.between(13, 0.92, 1.16)
    else:
        shoulder, hip = looks.between(12, 0.8, 1.02), looks.between(13, 0.84, 1.02)
    half = [(0, 0.4), (0.48, 0.5), (shoulder, 1.15), (hip, 2.3), (hip * 0.9, 3.0), (0, 3.1)]
    brush.fur(mirrored(half))
    if looks.pale:
        wide = shoulder * looks.between(14, 0.45, 0.75)
        brush.fur(
            mirrored([(0, 0.5), (wide, 0.9), (wide * 0.8, 1.6), (0, 2.2)]), coat=1, line=False
        )


def draw_standing(brush: Brush, species: int, looks: Looks) -> None:
    """Draw the animal standing or walking towards +x, from its side."""
    cat = species == CAT
    long = looks.between(12, 2.7, 3.3) if cat else looks.between(12, 2.3, 3.1)
    floor = looks.between(13, 2.7, 3.1) if cat else looks.between(13, 2.9, 3.7)
    drop = 0.0 if cat else -0.45
    body = brush.at(-0.62, 0.15 if cat else 0.3)
    brush.shadow(ellipse(-long / 2, floor + 0.1, long * 0.72, 0.25), 0.4, 0.4)
    _tail(body.at(-long + 0.05, 0.45), species, looks, upright=True)
    away, paws = _legs(species, looks, (long, floor), far=True)
    body.fur(*away, shade=0.74)
    _paws(body, looks, paws, 0.74)
    back, belly = (0.12, 1.52) if cat else (0.2, 1.28)
    chest = 1.42 if cat else looks.between(14, 1.62, 1.85)
    torso = [
        (0.25, 0.5),
        (-0.35, 0.16),
        (-long / 2, back),
        (-long + 0.35, 0.14),
        (-long - 0.08, 0.6),
        (-long + 0.15, 1.3),
        (-long / 2, belly),
        (-0.45, chest),
        (0.2, 1.15),
    ]
    neck = ribbon([(-0.3, 0.75), (0.2, 0.3 + drop / 2), (0.6, drop)], 0.66, 0.5)
    near, paws = _legs(species, looks, (long, floor), far=False)
    body.fur(neck, loop(torso), *near)
    _paws(body, looks, paws)
    if looks.pale:
        body.fur(ellipse(-0.02, 1.0, 0.3, 0.42, 0.3), coat=1, line=False)
    _head_over(brush, species, looks, drop=drop)


def _legs(
    species: int, looks: Looks, size: tuple[float, float], *, far: bool
) -> tuple[list[Points], list[tuple[float, float, float]]]:
    """Give the outlines of the two legs of one side, and where their paws are and how large."""
    long, floor = size
    thick = looks.between(15, 0.17, 0.22) if species == CAT else looks.between(15, 0.2, 0.28)
    stride = looks.between(18, -0.5, 0.5) * (-1 if far else 1)
    low = floor - 0.15
    legs, paws = [], []
    for start, bend, top in ((-0.3, 0.12, 0.36), (-long + 0.3, -0.28, 0.5)):
        x = start + (0.16 if far else -0.06)
        foot = x + stride * (1 if bend > 0 else -0.8)
        path = [(x, 1.0), (x + bend + stride * 0.4, 1.0 + (low - 1.0) * 0.5), (foot, low - 0.1)]
        legs.append(ribbon(path, top, thick))
        paws.append((foot + 0.1, low - 0.04, thick * 1.25))
    return legs, paws


def _paws(
    brush: Brush, looks: Looks, paws: list[tuple[float, float, float]], shade: float = 1.0
) -> None:
    for x, y, size in paws:
        _paw(brush.at(x, y), looks, size, shade)


def draw_lying(brush: Brush, species: int, looks: Looks) -> None:
    """Draw the animal lying, its front towards the viewer."""
    cat = species == CAT
    long = looks.between(12, 2.3, 2.9)
    thick = looks.between(15, 0.2, 0.25) if cat else looks.between(15, 0.26, 0.32)
    brush.shadow(ellipse(-long / 2 + 0.3, 1.6, long * 0.8, 0.3), 0.4, 0.4)
    _tail(brush.at(-long + 0.1, 1.15), species, looks, upright=False, mirror=-1)
    high = looks.between(16, 0.1, 0.3) if cat else looks.between(16, 0.25, 0.45)
    brush.fur(
        loop(
            [
                (0.75, 0.6),
                (0, 0.2),
                (-long / 2, high),
                (-long, 0.75),
                (-long, 1.5),
                (-long / 2, 1.66),
                (0.6, 1.6),
            ]
        )
    )
    brush.fur(ellipse(-long + 0.65, 1.15, 0.62, 0.5, -0.3))
    _paw(brush.at(-long + 1.2, 1.58), looks, thick * 1.2)
    for side in (-1, 1):
        x = side * looks.between(17, 0.3, 0.6)
        brush.fur(ribbon([(x * 0.7, 1.0), (x, 1.4), (x, 1.62)], thick * 1.3, thick))
        _paw(brush.at(x, 1.7), looks, thick * 1.25)
    _head_over(brush, species, looks, drop=0.0)


def _paw(brush: Brush, looks: Looks, size: float, shade: float = 1.0) -> None:
    brush.fur(ellipse(0, 0, size * 1.1, size * 0.72), coat=int(looks.pale), shade=shade)
    toes = [bow((x * size, 0), (x * size, 0.55 * size), 0) for x in (-0.35, 0.35)]
    brush.line(*toes, colour=brush.ink, width=0.03)


def _tail(brush: Brush, species: int, looks: Looks, *, upright: bool, mirror: float = 1) -> None:
    """Draw the tail from the brush's origin: a cat's long and sinuous, a dog's short and tapering."""
    s, long = looks.between(20, -1, 1), looks.between(21, 0.85, 1.15)
    if species == CAT and upright:
        path = [
            (0.1, 0.1),
            (-0.5, -0.1),
            (-0.75, -0.9),
            (-0.6 - 0.5 * s, -1.7),
            (-0.9 - 1.0 * s, -2.2),
        ]
        radii = (0.17, 0.13)
    elif species == CAT:
        path = [(-0.3, 0.1), (0.5, 0.2), (1.05, -0.1), (1.1, -0.8), (0.8 + 0.5 * s, -1.4)]
        radii = (0.18, 0.14)
    elif upright:
        path = [
            (0.2, 0.1),
            (-0.25, -0.25),
            (-0.55, -0.7 + 0.5 * s),
            (-0.6 + 0.3 * s, -1.2 + 0.9 * s),
        ]
        radii = (0.24, 0.07)
    else:
        path = [(-0.3, 0.1), (0.3, 0.1), (0.75, -0.2), (1.0, -0.55 + 0.3 * s)]
        radii = (0.24, 0.08)
    points = np.array(path) * (mirror * long, long)
    brush.fur(ribbon(points, *radii))


def _head_over(brush: Brush, species: int, looks: Looks, *, drop: float) -> None:
    """Draw collar and head over the body already drawn; `drop` lowers (or lifts) the head."""
    head = brush.at(0, drop)
    head.shadow(ellipse(0.05, 0.3, 0.85, 0.8), 0.3, 0.3)
    if looks.collar:
        band = [(-0.62, 0.62), (0, 0.98), (0.62, 0.62), (0.6, 0.84), (0, 1.2), (-0.6, 0.84)]
        head.flat(loop(band), colour=looks.collar)
        head.flat(ellipse(0, 1.2, 0.13, 0.13), colour=(60, 200, 235))
    draw_head(head, species, looks)


VIEWS: tuple[tuple[Callable[[Brush, int, Looks], None], tuple[float, float, float, float]], ...] = (
    (draw_face, (-1.35, -1.5, 1.35, 1.3)),
    (draw_sitting, (-1.6, -1.5, 2.0, 3.3)),
    (draw_standing, (-4.5, -1.7, 1.2, 3.3)),
    (draw_lying, (-3.6, -1.5, 1.3, 1.9)),
)
"""Each pose with the box (left, top, right, bottom) that it fills."""
