"""Pictures of maps, slopes and heat; heat laid back over the picture it came from."""

from __future__ import annotations

import numpy as np
import pytest

from edgecat.deepvis import rendering
from edgecat_runtime.model.preprocess import preprocess


@pytest.mark.parametrize("shape", [(7, 4, 6), (64, 32, 32), (1, 8, 8), (5,), (300, 1, 1)])
def test_tiles_fill_the_picture(shape: tuple[int, ...]) -> None:
    maps = np.random.default_rng(0).random(shape, np.float32)
    picture, grid = rendering.tiles(maps, width=320, height=200, selected=0)
    assert picture.shape == (200, 320, 3)
    assert grid.columns * grid.rows >= shape[0] > (grid.rows - 1) * grid.columns
    for unit in {0, shape[0] // 2, shape[0] - 1}:
        left, top, right, bottom = grid.box(unit)
        assert grid.at((left + right) / 2, (top + bottom) / 2) == unit
    assert grid.at(-1, 5) is None
    assert grid.at(320, 199) is None


def test_tiles_show_the_values_where_they_are() -> None:
    maps = np.zeros((4, 2, 2), np.float32)
    maps[2, 1, 0], maps[3, 0, 1] = 2.0, 1.0
    picture, grid = rendering.tiles(maps, width=80, height=80)
    assert (grid.columns, grid.rows) == (2, 2)
    assert picture[70, 10].tolist() == [255] * 3  # unit 2, lower left
    assert picture[50, 70].tolist() == [128] * 3  # unit 3, upper right, half as strong
    assert picture[10, 10].tolist() == [0] * 3
    alone, _ = rendering.tiles(maps, width=80, height=80, each=True)
    assert alone[50, 70].tolist() == [255] * 3


def test_negative_values_have_a_colour_of_their_own() -> None:
    blue, orange = rendering.coloured(np.array([[-1.0, 1.0]], np.float32))[0].astype(int)
    assert blue[0] > blue[2]
    assert orange[2] > orange[0]


@pytest.mark.parametrize(
    ("value", "boost", "expected"), [(0.25, 2, 0.5), (-0.25, 2, -0.5), (1, 3, 1), (0.3, 1, 0.3)]
)
def test_boost(value: float, boost: float, expected: float) -> None:
    assert rendering.boosted(np.float32([value]), boost)[0] == pytest.approx(expected)


def test_slopes_in_every_look() -> None:
    back = np.zeros((20, 20, 3), np.float32)
    back[4, 5] = (3e-6, 0, 0)
    back[9, 9] = (-1e-6, -1e-6, -1e-6)
    raw = rendering.slopes(back, "raw")
    assert raw[4, 5].tolist() == [255, 128, 128]
    assert raw[9, 9].tolist() == [85] * 3
    assert rendering.slopes(back, "grey")[0, 0].tolist() == [128] * 3
    norm = rendering.slopes(back, "norm")
    assert norm[4, 5].tolist() == [255] * 3
    assert norm[0, 0].tolist() == [0] * 3
    blurred = rendering.slopes(back, "blurred")
    assert blurred[4, 6, 0] > norm[4, 6, 0]
    assert (rendering.slopes(np.zeros_like(back), "norm") == 0).all()


@pytest.mark.parametrize("fit", ["crop", "letterbox", "stretch"])
@pytest.mark.parametrize(("height", "width"), [(96, 240), (240, 96)])
def test_heat_goes_back_to_where_it_came_from(fit: str, height: int, width: int) -> None:
    picture = np.zeros((height, width, 3), np.uint8)
    y, x = height // 2 + 20, width // 2 - 20
    picture[y - 6 : y + 6, x - 6 : x + 6] = 255
    frame = preprocess(picture, 48, 64, fit)
    heat = rendering.unfitted(frame[..., 0].astype(np.float32), height, width, fit)
    assert heat.shape == (height, width)
    rows, columns = np.nonzero(heat > 100)
    assert abs(rows.mean() - y) < 4
    assert abs(columns.mean() - x) < 4


def test_held_keeps_the_aspect() -> None:
    held = rendering.held(np.full((10, 40, 3), 200, np.uint8), 80)
    assert held.shape == (80, 80, 3)
    assert (held[40, :, 0] == 200).all()
    assert (held[10, :, 0] == 128).all()
