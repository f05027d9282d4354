from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edgecat.curation.fingerprint import alike_pairs, compared, fingerprint, grouped
from edgecat.pets.synthetic import synthetic_pets
from edgecat.pets.things import THINGS, draw_thing
from edgecat_runtime.types import Image


@pytest.fixture(scope="module")
def pets() -> list[Image]:
    """Twelve drawn pictures, no two the same."""
    return list(synthetic_pets(12, seed=3, size=96)[0])


def encoded(image: Image, quality: int) -> Image:
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1)


CHANGES: dict[str, Callable[[Image], Image]] = {
    "encoded again": lambda image: encoded(image, 30),
    "smaller": lambda image: cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA),
    "larger, of another aspect": lambda image: cv2.resize(image, (300, 200)),
    "mirrored": lambda image: np.ascontiguousarray(image[:, ::-1]),
    "darker": lambda image: cv2.convertScaleAbs(image, alpha=0.6),
    "brighter": lambda image: cv2.convertScaleAbs(image, alpha=1, beta=25),
    "grey": lambda image: cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR),
    "softer": lambda image: cv2.GaussianBlur(image, (0, 0), 1.5),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_copy_is_alike(pets: list[Image], change: Callable[[Image], Image]) -> None:
    for image in pets:
        likeness = compared(fingerprint(change(image)), fingerprint(image))
        assert likeness, likeness
        assert likeness.mirrored == (change is CHANGES["mirrored"])


def test_other_pictures_are_not(pets: list[Image]) -> None:
    assert not list(alike_pairs([fingerprint(image) for image in pets]))
    assert not list(alike_pairs([]))


@pytest.fixture(scope="module")
def shapes() -> list[Image]:
    """Forty different drawings on white, of which a thumbnail shows little more than the white."""
    random, found = np.random.default_rng(0), []
    for number in range(40):
        image = np.full((160, 160, 3), 255, np.uint8)
        colour = random.integers(0, 200, 3).tolist()
        x, y = random.integers(60, 100, 2).tolist()
        size = int(random.integers(35, 50))
        if number % 3 == 0:
            cv2.circle(image, (x, y), size, colour, -1, cv2.LINE_AA)
        elif number % 3 == 1:
            cv2.rectangle(image, (x - size, y - size), (x + size, y + size), colour, -1)
        else:
            cv2.ellipse(image, (x, y), (size, 3 * size // 4), 0, 0, 360, colour, -1, cv2.LINE_AA)
        found.append(image)
    return found


def test_different_drawings_on_white_are_not_copies(
    shapes: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    prints = [fingerprint(image) for image in shapes]
    assert not list(alike_pairs(prints))
    monkeypatch.setattr("edgecat.curation.fingerprint._detail", lambda *_, mirrored: True)
    assert list(alike_pairs(prints)), "their thumbnails alone would be taken for copies"


def test_things_before_a_fixed_camera_are_not_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    things = [draw_thing(kind, seed, scene=3) for kind in THINGS for seed in range(20)]
    prints = [fingerprint(image) for image in things]
    found = list(alike_pairs(prints))
    assert not [(i, j) for i, j in found if i // 20 != j // 20]  # of two kinds
    monkeypatch.setattr("edgecat.curation.fingerprint._detail", lambda *_, mirrored: True)
    by_thumbnail = list(alike_pairs(prints))
    assert [(i, j) for i, j in by_thumbnail if i // 20 != j // 20]
    assert len(by_thumbnail) > 5 * len(found)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_copy_of_a_drawing_is_alike(
    shapes: list[Image], change: Callable[[Image], Image]
) -> None:
    for image in shapes[:12]:
        assert compared(fingerprint(change(image)), fingerprint(image))


def test_pictures_of_one_colour_are_like_nothing() -> None:
    plain = fingerprint(np.full((40, 40, 3), 90, np.uint8))
    assert not compared(plain, plain)


def test_pairs_are_those_of_comparing_each_with_each(
    pets: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgecat.curation.fingerprint._BLOCK", 5)
    images = [*pets, *(np.ascontiguousarray(p[:, ::-1]) for p in pets), *pets[:4]]
    prints = [fingerprint(image) for image in images]
    expected = {
        (i, j)
        for i in range(len(prints))
        for j in range(i + 1, len(prints))
        if compared(prints[i], prints[j])
    }
    assert len(expected) == 12 + 4 + 4
    assert set(alike_pairs(prints)) == expected


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], []),
        ([(1, 2)], [(1, 2)]),
        ([(3, 4), (0, 1), (1, 3)], [(0, 1, 3, 4)]),
        ([(2, 2), (4, 1), (0, 3), (0, 3)], [(0, 3), (1, 4)]),
    ],
)
def test_groups(pairs: list[tuple[int, int]], expected: list[tuple[int, ...]]) -> None:
    assert grouped(5, iter(pairs)) == expected
