"""The bodies of a cat and a dog in four poses, as brush shapes.

The unit is the radius of the head, whose centre is the origin; the animal faces the viewer or +x.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from edgecat.pets.heads import CAT, Looks, draw_head
from edgecat.pets.paint import Brush, Points, bow, ellipse, loop, mirrored, ribbon


def draw_face(brush: Brush, species: int, looks: Looks) -> None:
    """Draw head and chest, front view."""
    _front_torso(brush, species, looks)
    _head_over(brush, species, looks, drop=0.0)


def draw_sitting(brush: Brush, species: int, looks: Looks) -> None:
    """Draw the animal sitting, front view."""
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
    """Draw the animal standing or walking towards +x, side view."""
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
    """Return the outlines of the two legs of one side, with positions and sizes of their paws."""
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
    """Draw the animal lying, facing the viewer."""
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
    """Draw the tail from the brush's origin: a cat's is long, a dog's tapers."""
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
    brush.fur(ribbon(np.array(path) * (mirror * long, long), *radii))


def _head_over(brush: Brush, species: int, looks: Looks, *, drop: float) -> None:
    """Draw collar and head over the body already drawn; `drop` lowers (or lifts) the head."""
    head = brush.at(0, drop)
    head.shadow(ellipse(0.05, 0.3, 0.85, 0.8), 0.3, 0.3)
    if looks.collar:
        band = [(-0.62, 0.62), (0, 0.98), (0.62, 0.62), (0.6, 0.84), (0, 1.2), (-0.6, 0.84)]
        head.flat(loop(band), colour=looks.collar)
        head.flat(ellipse(0, 1.2, 0.13, 0.13), colour=(60, 200, 235))
    draw_head(head, species, looks)


Pose = tuple[Callable[[Brush, int, Looks], None], tuple[float, float, float, float]]

POSES: Mapping[str, Pose] = {
    "face": (draw_face, (-1.35, -1.5, 1.35, 1.3)),
    "sitting": (draw_sitting, (-1.6, -1.5, 2.0, 3.3)),
    "standing": (draw_standing, (-4.5, -1.7, 1.2, 3.3)),
    "lying": (draw_lying, (-3.6, -1.5, 1.3, 1.9)),
}
"""Each pose with its bounding box (left, top, right, bottom)."""
