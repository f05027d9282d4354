"""Augmentation: drawn from its seed, within its bounds."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from edgecat.training.augment import Augmentation, augment, colour_matrix, random_crop
from edgecat_runtime.model.preprocess import shrink

NONE = Augmentation(
    area=(1.0, 1.0), aspect=1.0, flip=0.0, brightness=0.0, contrast=0.0, saturation=0.0
)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (90, 120, 3), np.uint8)


def test_the_same_draw_gives_the_same_view(picture: np.ndarray) -> None:
    draws = [np.random.default_rng(seed) for seed in (5, 5, 6)]
    views = [augment(picture, 32, Augmentation(), draw) for draw in draws]
    assert views[0].shape == (32, 32, 3)
    assert views[0].dtype == np.uint8
    assert np.array_equal(views[0], views[1])
    assert not np.array_equal(views[0], views[2])


def test_nothing_to_change_changes_nothing(picture: np.ndarray) -> None:
    square = np.ascontiguousarray(picture[:, :90])
    view = augment(square, 32, NONE, np.random.default_rng(0))
    assert np.array_equal(view, shrink(square, 32, 32))


def test_a_flip_mirrors(picture: np.ndarray) -> None:
    square = np.ascontiguousarray(picture[:, :90])
    plain = augment(square, 32, NONE, np.random.default_rng(0))
    flipped = augment(square, 32, replace(NONE, flip=1.0), np.random.default_rng(0))
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
