"""Counting answers, and the table of epochs."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edgecat.data.batches import Batch
from edgecat.scores import Evaluation, cross_entropy, evaluate
from edgecat.training.history import Epoch, append_metrics, write_metrics
from edgecat.training.plots import draw_confusion, draw_curves
from edgecat_runtime.errors import UserError

LABELS = ("cat", "dog", "owl")


def _batch(labels: list[int], *skipped: str) -> Batch:
    frames = np.array(labels, np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    return Batch(frames, np.array(labels, np.int64), skipped)


def _infer(frames: np.ndarray) -> np.ndarray:
    """Right but for owls, which it takes for dogs."""
    answers = np.minimum(frames[:, 0, 0, 0], 1)
    return np.eye(3, dtype=np.float32)[answers] * 4


def test_evaluate_counts() -> None:
    seen: list[int] = []
    batches = [_batch([0, 1, 1]), _batch([2, 0], "x.jpg is torn")]
    evaluation = evaluate(_infer, batches, LABELS, on_batch=seen.append)
    right = math.log(math.exp(4) + 2) - 4
    assert seen == [3, 3]
    assert evaluation.skipped == ("x.jpg is torn",)
    assert evaluation.to_dict() == {
        "n": 5,
        "accuracy": 0.8,
        "loss": pytest.approx((5 * right + 4) / 5, rel=1e-6),
        "per_class": {
            "cat": {"n": 2, "correct": 2, "accuracy": 1.0},
            "dog": {"n": 2, "correct": 2, "accuracy": 1.0},
            "owl": {"n": 1, "correct": 0, "accuracy": 0.0},
        },
        "confusion": [[2, 0, 0], [0, 2, 0], [0, 1, 0]],
    }


def test_a_class_without_pictures_has_no_accuracy() -> None:
    owl = evaluate(_infer, [_batch([0])], LABELS).to_dict()["per_class"]["owl"]
    assert owl == {"n": 0, "correct": 0, "accuracy": None}


def test_the_temperature_divides_the_logits() -> None:
    cool = evaluate(_infer, [_batch([0])], LABELS, temperature=2.0)
    assert cool.loss == pytest.approx(math.log(math.exp(2) + 2) - 2, rel=1e-6)


def test_no_picture_at_all_is_refused() -> None:
    with pytest.raises(UserError, match="none of 2 images could be decoded: a is torn"):
        evaluate(_infer, [_batch([], "a is torn", "b is torn")], LABELS)


def test_cross_entropy_is_pytorchs() -> None:
    logits = torch.randn(50, 7) * 30
    labels = torch.randint(0, 7, (50,))
    expected = torch.nn.functional.cross_entropy(logits.double(), labels, reduction="none")
    np.testing.assert_allclose(cross_entropy(logits.numpy(), labels.numpy()), expected, atol=1e-9)


def _epoch(number: int, accuracy: float = 0.5, loss: float = 1.0) -> Epoch:
    return Epoch(number, 0.01, 0.9, 0.6, loss, accuracy, 12.5, 80.0)


@pytest.mark.parametrize(
    ("row", "other", "expected"),
    [
        (_epoch(1), None, True),
        (_epoch(2, 0.6), _epoch(1, 0.5), True),
        (_epoch(2, 0.5, 0.9), _epoch(1, 0.5, 1.0), True),
        (_epoch(2, 0.5, 1.0), _epoch(1, 0.5, 1.0), False),
        (_epoch(2, 0.4, 0.1), _epoch(1, 0.5, 1.0), False),
    ],
)
def test_better_is_by_accuracy_then_loss(row: Epoch, other: Epoch | None, expected: bool) -> None:
    assert row.beats(other) is expected


def test_the_table_grows_in_place(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    write_metrics(path, [_epoch(1)])
    append_metrics(path, _epoch(2))
    append_metrics(path, _epoch(3))
    grown = path.read_text()
    write_metrics(path, [_epoch(1), _epoch(2), _epoch(3)])
    assert path.read_text() == grown
    rows = list(csv.DictReader(grown.splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["val_accuracy"] == "0.5"


def test_a_table_that_cannot_grow(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot write .*gone"):
        append_metrics(tmp_path / "gone" / "metrics.csv", _epoch(1))


@pytest.mark.parametrize("classes", [2, 25])
def test_plots_are_pictures(tmp_path: Path, classes: int) -> None:
    counts = np.random.default_rng(0).integers(0, 100, (classes, classes))
    evaluation = Evaluation(tuple(f"class {i}" for i in range(classes)), counts, 0.5)
    draw_confusion(evaluation, tmp_path / "confusion.png")
    draw_curves([_epoch(1), _epoch(2, 0.7, 0.5)], tmp_path / "curves.png")
    for name in ("confusion.png", "curves.png"):
        picture = cv2.imread(str(tmp_path / name))
        assert picture.std() > 10
        assert min(picture.shape[:2]) > 300
