from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgecat_runtime.classifier import Classifier
from edgecat_runtime.errors import UserError
from edgecat_runtime.loop.decision import Decision, Thresholds
from edgecat_runtime.loop.smoothing import Smoother
from edgecat_runtime.model.card import ModelCard


def said(card: ModelCard, rows: Any, thresholds: Thresholds | None = None) -> list[str | None]:
    """What is decided on rows of logits."""
    classifier = Classifier(None, card)  # type: ignore[arg-type]  # nothing is inferred
    decision = Decision(thresholds)
    rows = np.asarray(rows, np.float32)
    return [decision(classifier.predict(row), card).label for row in rows]


def shares(*cats: float) -> list[list[float]]:
    """Logits of frames that are cats with these probabilities."""
    return [[math.log(cat), math.log(1 - cat)] for cat in cats]


U = None


@pytest.mark.parametrize(
    ("cats", "expected"),
    [
        ([0.5], [U]),
        ([0.69, 0.71], [U, "cat"]),
        ([0.9, 0.56, 0.69, 0.56], ["cat"] * 4),
        ([0.9, 0.5, 0.5, 0.5, 0.5], ["cat", "cat", "cat", U, U]),
        ([0.9, 0.5, 0.5, 0.56, 0.5, 0.5, 0.56], ["cat"] * 7),
        ([0.9, 0.5, 0.5, 0.5, 0.6, 0.69, 0.7001], ["cat", "cat", "cat", U, U, U, "cat"]),
        ([0.9, 0.45, 0.2], ["cat", "cat", "dog"]),
        ([0.9, 0.1, 0.9], ["cat", "dog", "cat"]),
        ([0.5, 0.5, 0.5, 0.5], [U] * 4),
    ],
)
def test_a_label_is_held_until_it_is_doubtful_for_long(
    tiny_card: ModelCard, cats: list[float], expected: list[str | None]
) -> None:
    assert said(tiny_card, shares(*cats)) == expected


EVEN = [0.0, 0.0]  # softmax gives exactly 0.5 for both


@pytest.mark.parametrize(
    ("thresholds", "rows", "expected"),
    [
        (Thresholds(enter=0.5, leave=0.5, patience=1), [EVEN], ["cat"]),
        (Thresholds(enter=0.9, leave=0.5, patience=1), [[9.0, 0.0], EVEN], ["cat", "cat"]),
        (Thresholds(enter=1.0, leave=1.0, patience=1), [[999.0, 0.0], EVEN], ["cat", U]),
    ],
)
def test_thresholds_are_inclusive(
    tiny_card: ModelCard,
    thresholds: Thresholds,
    rows: list[list[float]],
    expected: list[str | None],
) -> None:
    assert said(tiny_card, rows, thresholds) == expected


def test_the_answer_has_the_label_its_probability_or_none(tiny_card: ModelCard) -> None:
    classifier = Classifier(None, tiny_card)  # type: ignore[arg-type]
    decision = Decision()
    rows = np.asarray(shares(0.9, 0.45, 0.45, 0.45), np.float32)
    decided = [decision(classifier.predict(row), tiny_card) for row in rows]
    assert [round(one.confidence, 2) for one in decided] == [0.9, 0.45, 0.45, 0.0]
    assert [one.unsure for one in decided] == [False, False, False, True]
    assert decided[-1].best == "dog", "what it would be is still there"
    decision.reset()
    assert decision(classifier.predict(rows[1]), tiny_card).unsure


@pytest.mark.parametrize("level", [0.5, 0.55, 0.6, 0.7])
def test_noise_around_any_threshold_makes_no_flicker(tiny_card: ModelCard, level: float) -> None:
    """Ten minutes at 30 frames a second whose single answers change all the time."""
    rng = np.random.default_rng(0)
    half = math.log(level / (1 - level)) / 2 + rng.normal(0, 0.1, 18_000)
    rows = np.stack([half, -half], axis=1).astype(np.float32)
    smoother = Smoother()
    labels = said(tiny_card, [smoother(row) for row in rows])
    changes = sum(before != after for before, after in itertools.pairwise(labels))
    raw = np.count_nonzero(np.diff((rows[:, 0] > half.mean()).astype(int)))
    assert raw > 8000
    assert changes <= 2


def test_the_energy_has_two_thresholds_too(tiny_card: ModelCard) -> None:
    card = replace(tiny_card, energy_limit=-3.0, temperature=2.0)
    slack = 2 * math.log(0.7 / 0.55)

    def at(energy: float) -> list[float]:
        """Logits of a sure cat with this energy."""
        top = -energy - 2 * math.log(1 + math.exp(-4))
        return [top, top - 8]

    assert said(card, [at(-2.99)]) == [U]
    assert said(card, [at(-3.01)]) == ["cat"]
    assert said(card, [at(-3.01), *[at(-3 + 0.9 * slack)] * 9]) == ["cat"] * 10
    assert said(card, [at(-3.01), *[at(-3 + 1.1 * slack)] * 4]) == ["cat"] * 3 + [U] * 2
    other = at(-2.99)[::-1]
    assert said(card, [at(-3.01), *[other] * 4]) == ["cat"] * 3 + [U] * 2


def test_a_class_of_many_is_left_for_a_surer_one(tiny_card: ModelCard) -> None:
    card = replace(tiny_card, labels=("cat", "dog", "owl"))
    rows = np.log([[0.8, 0.1, 0.1], [0.35, 0.35, 0.3], [0.3, 0.1, 0.6]])
    assert said(card, rows, Thresholds(0.5, 0.3)) == ["cat", "cat", "owl"]
    assert said(card, rows, Thresholds(0.7, 0.3)) == ["cat", "cat", "cat"]


def test_an_engine_that_answers_with_no_numbers_is_unsure(tiny_card: ModelCard) -> None:
    nan = [math.nan, math.nan]
    assert said(tiny_card, [nan]) == [U]
    assert said(tiny_card, [*shares(0.9), nan, nan, nan]) == ["cat", "cat", "cat", U]


def test_another_model_with_other_labels_starts_anew(tiny_card: ModelCard) -> None:
    decision = Decision()
    for labels, cat, expected in ((("cat", "dog"), 0.9, "cat"), (("owl", "bat"), 0.6, U)):
        card = replace(tiny_card, labels=labels)
        row = np.asarray(shares(cat)[0], np.float32)
        assert decision(Classifier(None, card).predict(row), card).label == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("enter", "leave", "patience"),
    [(0.5, 0.6, 3), (1.1, 0.5, 3), (0.7, 0.0, 3), (math.nan, 0.5, 3), (0.7, 0.5, 0)],
)
def test_thresholds_that_are_none_are_refused(enter: float, leave: float, patience: int) -> None:
    with pytest.raises(UserError, match="expected"):
        Thresholds(enter, leave, patience)
