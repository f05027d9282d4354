"""The moving average of the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgecat.training.average import WeightAverage


@pytest.mark.parametrize(
    ("decay", "step", "share"),
    [
        (0.999, 0, 9 / 10),  # warm start: the initial weights are soon forgotten
        (0.999, 10, 9 / 20),
        (0.999, 10**6, 0.001),
        (0.5, 7, 9 / 17),
        (0.5, 8, 0.5),
        (0.5, 1000, 0.5),
    ],
)
def test_update_moves_the_average_by_the_expected_share(
    decay: float, step: int, share: float
) -> None:
    model = nn.Linear(1, 1)
    nn.init.zeros_(model.weight)
    average = WeightAverage(model, decay)
    nn.init.ones_(model.weight)
    average.update(model, step)
    assert average.module.weight.item() == pytest.approx(share, rel=1e-5)
    assert model.weight.item() == 1
    average.update(model, step)
    assert average.module.weight.item() == pytest.approx(1 - (1 - share) ** 2, rel=1e-5)


def test_statistics_are_averaged_and_counts_are_copied() -> None:
    model = nn.BatchNorm1d(1)
    average = WeightAverage(model, 0.5)
    for _ in range(3):
        model(torch.full((4, 1), 8.0))
    average.update(model, 100)
    assert average.module.running_mean.item() == pytest.approx(model.running_mean.item() / 2)
    assert average.module.num_batches_tracked.item() == 3
    assert not any(parameter.requires_grad for parameter in average.module.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())
