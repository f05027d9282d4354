"""Augmentation: drawn from its seed, within its bounds."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from edgecat.training.augment import Augmentation, augment
from edgecat.training.draws import (
    colour_matrix,
    draw,
    draw_view,
    philox,
    random_crop,
    uniforms,
)
from edgecat_runtime.model.preprocess import shrink

NONE = Augmentation(
    area=(1.0, 1.0), aspect=1.0, flip=0.0, brightness=0.0, contrast=0.0, saturation=0.0
)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (90, 120, 3), np.uint8)


def _view(image: np.ndarray, augmentation: Augmentation, random: np.random.Generator) -> np.ndarray:
    return augment(image, 32, draw_view(*image.shape[:2], augmentation, random))


def test_the_same_draw_gives_the_same_view(picture: np.ndarray) -> None:
    draws = [np.random.default_rng(seed) for seed in (5, 5, 6)]
    views = [_view(picture, Augmentation(), draw) for draw in draws]
    assert views[0].shape == (32, 32, 3)
    assert views[0].dtype == np.uint8
    assert np.array_equal(views[0], views[1])
    assert not np.array_equal(views[0], views[2])


def test_nothing_to_change_changes_nothing(picture: np.ndarray) -> None:
    square = np.ascontiguousarray(picture[:, :90])
    view = _view(square, NONE, np.random.default_rng(0))
    assert np.array_equal(view, shrink(square, 32, 32))


def test_a_flip_mirrors(picture: np.ndarray) -> None:
    square = np.ascontiguousarray(picture[:, :90])
    plain = _view(square, NONE, np.random.default_rng(0))
    flipped = _view(square, replace(NONE, flip=1.0), np.random.default_rng(0))
    assert np.array_equal(flipped, plain[:, ::-1])


@pytest.mark.parametrize(("height", "width"), [(200, 200), (1, 1), (1, 300), (480, 3), (720, 1280)])
def test_crops_lie_inside(height: int, width: int) -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        top, left, h, w = random_crop(height, width, Augmentation(), random)
        assert h >= 1
        assert w >= 1
        assert 0 <= top <= height - h
        assert 0 <= left <= width - w


def test_crops_vary_in_area_aspect_and_place() -> None:
    random = np.random.default_rng(0)
    how = Augmentation(area=(0.3, 0.8), aspect=1.5)
    crops = np.array([random_crop(200, 200, how, random) for _ in range(2000)])
    area = crops[:, 2] * crops[:, 3] / 40_000
    aspect = crops[:, 3] / crops[:, 2]
    assert 0.28 < area.min() < 0.32
    assert 0.75 < area.max() < 0.82
    assert 0.64 < aspect.min() < 0.72
    assert 1.4 < aspect.max() < 1.53
    assert len(np.unique(crops[:, 0])) > 50
    assert len(np.unique(crops[:, 1])) > 50


@pytest.mark.parametrize(
    ("how", "pixel", "low", "high"),
    [
        ({"brightness": 0.5}, (100, 100, 100), 50, 150),
        ({"contrast": 0.5}, (200, 200, 200), 163, 237),
        ({"contrast": 0.5}, (128, 128, 128), 127, 129),
        ({"saturation": 0.5}, (90, 90, 90), 89, 91),
    ],
)
def test_colours_stay_in_range(
    how: dict[str, float], pixel: tuple[int, int, int], low: int, high: int
) -> None:
    random = np.random.default_rng(0)
    image = np.full((1, 1, 3), pixel, np.uint8)
    seen = [
        cv2.transform(image, colour_matrix(replace(NONE, **how), random)).ravel().tolist()
        for _ in range(300)
    ]
    values = np.array(seen)
    assert values.min() >= low
    assert values.max() <= high
    assert values.max() - values.min() >= 0.9 * (high - low) - 2
    assert np.ptp(values, axis=1).max() <= 1  # grey stays grey


def test_saturation_keeps_the_luma() -> None:
    random = np.random.default_rng(0)
    luma = np.array([0.114, 0.587, 0.299])
    for _ in range(20):
        matrix = colour_matrix(replace(NONE, saturation=0.5), random)
        changed = matrix @ np.array([40.0, 120.0, 200.0, 1.0])
        assert luma @ changed == pytest.approx(luma @ [40, 120, 200], rel=1e-5)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_philox_gives_the_published_numbers(
    counter: list[int], key: list[int], expected: str
) -> None:
    """The known answers of Random123, the authors' library."""
    found = philox(np.array(counter, np.uint64)[:, None], (key[0], key[1]))
    assert " ".join(f"{value:08x}" for value in found[:, 0]) == expected


def test_uniform_numbers_are_uniform_and_unrelated() -> None:
    random = uniforms(3, 7, np.arange(20_000, dtype=np.uint64))
    assert random.shape == (8, 20_000)
    assert 0 <= random.min() < random.max() < 1
    for row in random:
        counts = np.histogram(row, 20, (0, 1))[0]
        assert np.abs(counts - 1000).max() < 160  # five standard deviations
    assert np.abs(np.corrcoef(random) - np.eye(8)).max() < 0.04


@pytest.mark.parametrize("version", [1, 2])
def test_a_view_depends_on_seed_epoch_and_image_alone(version: int) -> None:
    """Whatever else is in the batch, in whatever order, one by one or all at once."""
    heights, widths = np.array([200, 31, 480, 1]), np.array([200, 300, 640, 1])
    numbers = [5, 1, 70_000, 2]
    whole = draw(Augmentation(), 3, 2, numbers, version=version)
    views = whole.views(heights, widths)
    for index, number in enumerate(numbers):
        size = int(heights[index]), int(widths[index])
        alone = draw(Augmentation(), 3, 2, [9, number], version=version).view(1, *size)
        one = whole.view(index, *size)
        for view in (alone, one):
            crop = [view.top, view.left, view.height, view.width]
            assert crop == views.crops[index].tolist()
            assert view.flip == views.flips[index]
            assert np.array_equal(view.colour, views.colours[index])
    for other in (
        draw(Augmentation(), 4, 2, numbers, version=version),
        draw(Augmentation(), 3, 1, numbers, version=version),
    ):
        assert not np.array_equal(other.views(heights, widths).colours, views.colours)


def test_version_2_draws_from_the_whole_range() -> None:
    augmentation = Augmentation(area=(0.3, 0.8), aspect=1.5, saturation=0.0)
    sides = np.full(4000, 200)
    views = draw(augmentation, 0, 0, range(4000), version=2).views(sides, sides)
    tops, lefts, heights, widths = views.crops.T
    assert min(tops.min(), lefts.min()) == 0
    assert (tops + heights).max() == (lefts + widths).max() == 200
    area, aspect = heights * widths / 40_000, widths / heights
    assert 0.28 < area.min() < 0.31
    assert 0.78 < area.max() < 0.82
    assert 0.64 < aspect.min() < 0.69
    assert 1.45 < aspect.max() < 1.55
    assert 0.47 < views.flips.mean() < 0.53
    gains = views.colours[:, :, :3].sum(2)  # brightness times contrast: grey stays grey
    assert np.allclose(gains, gains[:, :1], rtol=1e-5)
    assert 0.49 < gains.min() < 0.55
    assert 1.6 < gains.max() < 1.69
