"""The study of convolution: filters, padding, pooling and shifts against what is known of them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from edgecat.study.convolution.learnt import COLOUR, EDGE, OTHER, kinds_of
from edgecat.study.convolution.measured import Convolution
from edgecat.study.convolution.shown import finding
from edgecat.study.maps import (
    FILTERS,
    POOLS,
    border_response,
    filtered,
    marks,
    pooled,
    shift_changes,
    vgg16_layers,
)
from edgecat.study.report import save_outcome


def test_each_filter_marks_its_own_pattern_most() -> None:
    found = marks()
    for name in FILTERS:
        assert found[name][name] == max(found[name].values()) == pytest.approx(1)
    assert found["upright"]["level"] == found["level"]["upright"] == 0


def test_filters_do_not_answer_an_even_picture_but_its_padded_border() -> None:
    even = torch.full((1, 1, 12, 12), 0.5)
    assert float(filtered(even).abs().max()) == pytest.approx(0, abs=1e-6)
    assert min(border_response(even + torch.rand(1, 1, 12, 12) / 100).values()) > 5


@pytest.mark.parametrize(("how", "expected"), [("max", 4.0), ("mean", 2.5), ("skip", 1.0)])
def test_a_pool_halves(how: str, expected: float) -> None:
    maps = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).repeat(4, 4)[None, None]
    assert pooled(maps, how).shape == (1, 1, 4, 4)
    assert (pooled(maps, how, times=2) == expected).all()


@pytest.mark.parametrize("how", POOLS)
def test_pictures_that_repeat_every_four_pixels_do_not_change_by_four(how: str) -> None:
    grey = torch.rand(4, 1, 4, 4).repeat(1, 1, 10, 10)
    one, _, _, four = shift_changes(grey, how, 1)
    assert four == pytest.approx(0, abs=1e-6)
    assert one > 0.01


def test_noise_is_another_picture_after_one_pixel() -> None:
    noise = torch.rand(16, 1, 72, 72, generator=torch.Generator().manual_seed(0))
    assert shift_changes(noise)[3] == pytest.approx(1, abs=0.05)


def test_vgg16_in_figures() -> None:
    """From the paper's table 1 and the sizes that are worked out by hand."""
    layers = vgg16_layers()
    assert [layer.name for layer in layers][:4] == ["conv1_1", "conv1_2", "pool1", "conv2_1"]
    assert [layer.field for layer in layers if not layer.weights] == [6, 16, 44, 100, 212]
    assert sum(layer.weights for layer in layers) == 14_710_464
    assert sum(layer.macs for layer in layers) == pytest.approx(15.35e9, rel=1e-3)
    assert layers[0].dense_weights == 3 * 64 * 224**4
    assert [layer.unpadded for layer in layers[:4]] == [222, 220, 110, 108]
    assert vgg16_layers(64)[-1].unpadded == 0


@pytest.mark.parametrize(
    ("once", "most", "said"),
    [(0.2, 0.05, "as the lecture says; the mean"), (0.31, 0.3, "contrary to the lecture")],
)
def test_the_finding_follows_the_figures(once: float, most: float, said: str) -> None:
    one = {("max", 0): 0.32, ("max", 1): once, ("max", 3): most, ("mean", 1): 0.2, ("skip", 1): 0.3}
    assert said in finding(one, vgg16_layers())[0]


def test_the_study_ends_in_a_page(tmp_path: Path) -> None:
    study = Convolution(seeds=2, pictures=16, size=40)
    done: list[int] = []
    outcome = study.run(done.append)
    assert sum(done) == study.steps
    html, *tables = save_outcome("convolution", study, outcome, tmp_path)
    assert len(tables) == 3
    assert not re.search(r"""(src|href)=["'](?!data:)""", html.read_text(encoding="utf-8"))
    assert np.isfinite(list(outcome.figures["border_over_inside"].values())).all()  # type: ignore[attr-defined]


def test_the_kind_of_a_filter_is_where_its_energy_is() -> None:
    edge = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32)
    spot = np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]], np.float32)
    red = np.stack([spot, -spot, 0 * spot])
    filters = np.stack([np.stack([edge] * 3), np.stack([spot] * 3), red, -np.stack([edge] * 3)])
    assert kinds_of(filters) == [EDGE, OTHER, COLOUR, EDGE]
