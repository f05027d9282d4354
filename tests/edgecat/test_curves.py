"""Intervals, ROC, calibration and energy, against other ways to work them out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from edgecat.evaluation.curves import reliability, roc, wilson
from edgecat.evaluation.temperature_and_limit import best_temperature, limit_of
from edgecat.scores import cross_entropy, energies, softmax


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        (0, 0, 0.0, 1.0),
        (0, 10, 0.0, 0.27753),  # Newcombe 1998, table I
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (10, 10, 0.72247, 1.0),
    ],
)
def test_wilsons_interval(right: int, n: int, low: float, high: float) -> None:
    assert wilson(right, n) == pytest.approx((low, high), abs=5e-5)


def test_the_area_under_roc_is_sklearns_also_with_ties() -> None:
    rng = np.random.default_rng(0)
    positive = rng.uniform(size=300) < 0.3
    scores = np.round(rng.normal(positive, 1), 1)
    curve = roc(scores, positive)
    assert curve is not None
    assert curve.auc == pytest.approx(roc_auc_score(positive, scores))
    assert (curve.false[0], curve.true[0], curve.false[-1], curve.true[-1]) == (0, 0, 1, 1)
    assert (np.diff(curve.false) >= 0).all()
    assert (np.diff(curve.true) >= 0).all()


@pytest.mark.parametrize("positive", [True, False])
def test_one_class_alone_has_no_roc(positive: bool) -> None:
    assert roc(np.arange(4.0), np.full(4, positive)) is None


def test_calibration_error_counts_by_pictures() -> None:
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.55])
    right = np.array([True, True, True, False, True])
    curve = reliability(confidence, right, bins=10)
    assert curve.counts.tolist() == [1, 4]
    assert curve.accuracy.tolist() == [1.0, 0.75]
    assert curve.ece == pytest.approx((0.45 + 4 * 0.2) / 5)


def test_energy_is_pytorchs_logsumexp() -> None:
    logits = torch.randn(20, 7) * 30
    expected = -2 * torch.logsumexp(logits.double() / 2, 1)
    np.testing.assert_allclose(energies(logits.numpy(), 2.0), expected)


def test_the_best_temperature_brings_the_loss_to_its_least() -> None:
    rng = np.random.default_rng(0)
    cool = rng.normal(0, 2, (4000, 3)).astype(np.float32)
    truth = np.array([rng.choice(3, p=row) for row in softmax(cool)])
    found = best_temperature(cool * 3, truth)
    assert found == pytest.approx(3, rel=0.06)
    losses = [cross_entropy(cool * 3 / np.float32(found * f), truth).mean() for f in (0.9, 1, 1.1)]
    assert losses[1] == min(losses)


@pytest.mark.parametrize(("n", "above"), [(100, 1), (199, 1), (200, 2), (1000, 10), (50, 0)])
def test_the_limit_lets_99_of_100_pass(n: int, above: int) -> None:
    energy = np.random.default_rng(n).normal(0, 5, n)
    drawn = energy + 20
    assert int((energy > limit_of(energy, drawn)).sum()) == above
    assert math.isfinite(limit_of(energy, drawn))


def test_the_limit_of_few_lies_between_them_and_the_drawn_frames() -> None:
    energy, drawn = np.array([-9.0, -7.0, -6.0]), np.linspace(0, 10, 101)
    assert limit_of(energy, drawn) == pytest.approx((-6 + 1) / 2)
    assert limit_of(energy, drawn - 20) == -6  # where they overlap: never below its own


def test_without_mistakes_confidence_is_not_raised() -> None:
    truth = np.arange(12) % 2
    sure = np.where(truth[:, None] == [0, 1], 2.0, 0.0).astype(np.float32)
    assert best_temperature(sure, truth) == pytest.approx(1, abs=1e-6)
    many = np.concatenate([sure, -sure[:5]]), np.concatenate([truth, truth[:5]])
    assert best_temperature(*many) > 1
    timid = sure / 10, truth.copy()
    timid[1][:5] = 1 - truth[:5]
    assert best_temperature(np.tile(timid[0], (50, 1)), np.tile(truth, 50)) == pytest.approx(1)
    assert best_temperature(np.tile(timid[0], (50, 1)), np.r_[np.tile(truth, 49), timid[1]]) < 1
