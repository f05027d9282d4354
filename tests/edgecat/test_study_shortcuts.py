"""The study of shortcuts: the compared networks, and what is said of their figures."""

from __future__ import annotations

import pytest
import torch

from edgecat.study.learning import seeded
from edgecat.study.report import csv_text
from edgecat.study.shortcuts import Shortcuts
from edgecat.study.shortcuts.measured import BOTH, NORMED, PLAIN, SHORT, VARIANTS, Flow
from edgecat.study.shortcuts.network import Residual
from edgecat.study.shortcuts.shown import finding, reached


def network(depth: int = 8, *, shortcuts: bool = True, batch_norm: bool = False) -> Residual:
    with seeded(0):
        return Residual(depth, 2, width=4, shortcuts=shortcuts, batch_norm=batch_norm)


def test_shortcuts_have_no_weights() -> None:
    for norm in (False, True):
        plain, short = (network(shortcuts=s, batch_norm=norm) for s in (False, True))
        assert plain.state_dict().keys() == short.state_dict().keys()
        for name, value in plain.state_dict().items():
            assert torch.equal(value, short.state_dict()[name]), name


@pytest.mark.parametrize("depth", [8, 20, 32])
def test_the_depth_counts_convolutions_and_the_dense_layer(depth: int) -> None:
    layers = [
        module
        for module in network(depth).modules()
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear))
    ]
    assert len(layers) == depth


@pytest.mark.parametrize("depth", [2, 9, 21])
def test_another_depth_is_refused(depth: int) -> None:
    with pytest.raises(ValueError, match="expected 8, 14, 20"):
        network(depth)


def test_a_block_that_adds_nothing_passes_its_input_on() -> None:
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    for shortcuts in (True, False):
        model = network(shortcuts=shortcuts)
        block = model.blocks[0]
        for value in block.parameters():
            torch.nn.init.zeros_(value)
        maps = torch.relu(model.stem(images))
        out = block(maps)
        assert torch.equal(out, maps if shortcuts else torch.zeros_like(maps))
    assert model.blocks[1](maps).shape == (2, 8, 4, 4)


def test_the_study_ends_in_figures() -> None:
    study = Shortcuts(
        seeds=2, pictures=32, validation=8, size=16, depths=(8, 14), trained=(8, 14), width=4,
        epochs=1, batch=16, climb=16, trial=1,
    )  # fmt: skip
    done: list[int] = []
    outcome = study.run(done.append)
    assert sum(done) == study.steps
    assert len(outcome.sections) == 4
    assert all(sentence.endswith(".") for sentence in outcome.finding)
    rows = csv_text(outcome.tables["gradients"]).splitlines()
    assert len(rows) == 1 + len(VARIANTS) * 2 * 2 * (8 + 14)


def test_the_ratio_is_a_geometric_mean() -> None:
    flows = [Flow(PLAIN, 8, seed, (first, 2.0, 1.0)) for seed, first in enumerate((2.0, 8.0))]
    assert reached(flows, PLAIN, 8) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("plain", "normed", "short", "said"),
    [
        (0.001, 0.009, 1.0, "the shortcuts keep it"),
        (0.001, 2.0, 1.0, "only where batch norm is missing"),
        (0.5, 2.0, 9.0, "that is not what shortcuts mend"),
        (0.07, 154.0, 12.6, "shortcuts hold that down"),
        (0.07, 154.0, 100.0, "that is not what shortcuts mend"),
        (0.001, 0.001, 0.001, "vanishes with shortcuts, too"),
    ],
)
def test_the_gradient_s_finding_follows_the_figures(
    plain: float, normed: float, short: float, said: str
) -> None:
    reaches = {PLAIN: plain, SHORT: short, NORMED: normed, BOTH: short}
    right = {(key, depth): 0.9 for key in VARIANTS for depth in (8, 32)}
    first, second = finding(reaches, right, 8, 32)
    assert said in first
    assert "costs nothing here" in second


@pytest.mark.parametrize(
    ("normed", "both", "said"),
    [
        (0.6, 0.89, "shortcuts spare it"),
        (0.9, 0.9, "costs nothing here"),
        (0.6, 0.6, "do not spare"),
        (0.9, 0.6, "do not spare"),
    ],
)
def test_the_cost_of_depth_follows_the_figures(normed: float, both: float, said: str) -> None:
    right = {(key, depth): 0.9 for key in VARIANTS for depth in (8, 32)}
    right |= {(NORMED, 32): normed, (BOTH, 32): both}
    assert said in finding(dict.fromkeys(VARIANTS, 1.0), right, 8, 32)[1]
