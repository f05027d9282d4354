from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgecat_export.parity.comparison import Pair, Tally, compare, golden_parity
from edgecat_runtime import Classifier, UserError, read_card
from edgecat_runtime.model.artifact import seal_onnx
from edgecat_runtime.model.card import ModelCard

GOLDEN = np.array([[0.0, 2.0], [1.0, -2.0]], np.float32)  # a spread of 4


@pytest.mark.parametrize(
    ("precision", "error", "agreement", "passed"),
    [
        ("fp32", 1e-4, 1.0, True),
        ("fp32", 1.1e-4, 1.0, False),
        ("fp32", 0.0, 0.9999, False),
        ("fp16", 5e-3, 0.999, True),
        ("fp16", 5.1e-3, 1.0, False),
        ("fp16", 0.0, 0.998, False),
        ("int8", 5e-2, 0.99, True),
        ("int8", 0.051, 1.0, False),
        ("int8", 0.0, 0.98, False),
        ("fp32", float("inf"), 1.0, False),
        ("fp32", float("nan"), 1.0, False),
    ],
)
def test_limits_are_the_precisions(
    precision: str, error: float, agreement: float, passed: bool
) -> None:
    pair = Pair("a", "b", "onnxruntime", precision, 10, error, agreement)  # type: ignore[arg-type]
    assert pair.passed is passed
    assert str(pair).startswith("PASS" if passed else "FAIL")


@pytest.mark.parametrize(
    ("candidate", "worst", "agreement"),
    [
        ([[1.0, 0.0], [0.0, 1.0]], 0.0, 1.0),
        ([[1.0, 0.4], [0.0, 1.0]], 0.1, 1.0),
        ([[1.0, 0.0], [2.0, 1.0]], 0.5, 0.5),
        ([[1.0, 0.0], [float("nan"), 1.0]], float("inf"), 0.5),
    ],
)
def test_a_tally_counts(candidate: list[list[float]], worst: float, agreement: float) -> None:
    tally = Tally(GOLDEN)
    reference = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    tally.add(reference[:1], np.array(candidate, np.float32)[:1])
    tally.add(reference[1:], np.array(candidate, np.float32)[1:])
    pair = tally.pair("a", "b", "opencv", "fp32")
    assert (pair.n, pair.agreement) == (2, agreement)
    assert pair.max_logit_error == pytest.approx(worst)


@pytest.mark.parametrize(
    ("precision", "against", "error", "agreement", "passed"),
    [
        ("int8", "fp32", 0.1, 0.99, True),
        ("int8", "fp32", 0.31, 1.0, False),
        ("int8", "fp32", 0.1, 0.98, False),
        ("int8", "int8", 0.1, 1.0, False),
        ("fp16", "fp32", 0.01, 1.0, False),
    ],
)
def test_int8_is_held_to_answers_by_another_precision(
    precision: str, against: str, error: float, agreement: float, passed: bool
) -> None:
    tally = Tally(GOLDEN, n=100, worst=error, agreed=round(agreement * 100))
    pair = tally.pair("a", "b", "opencv", precision, against=against)  # type: ignore[arg-type]
    assert pair.passed is passed


def test_nothing_compared_is_no_pass() -> None:
    assert not Tally(GOLDEN).pair("a", "b", "opencv", "fp32").passed


@pytest.mark.parametrize("backend", ["onnxruntime", "opencv"])
def test_a_file_is_held_against_its_golden_logits(
    tmp_path: Path, tiny_onnx: Path, make_tiny: Callable[..., bytes], backend: str
) -> None:
    assert golden_parity(tiny_onnx, backend).passed
    (tmp_path / "negated.onnx").write_bytes(make_tiny(negate=True))
    pair = golden_parity(tmp_path / "negated.onnx", backend, name="mine")
    assert not pair.passed
    assert (pair.candidate, pair.reference, pair.n) == ("mine", "golden", 4)


def test_backends_are_compared_on_frames(
    tmp_path: Path, tiny_onnx: Path, make_tiny: Callable[..., bytes]
) -> None:
    (tmp_path / "negated.onnx").write_bytes(make_tiny(negate=True))
    rng = np.random.default_rng(0)
    batches = [rng.integers(0, 256, (n, 32, 32, 3), np.uint8) for n in (5, 2)]
    with (
        Classifier.open(tiny_onnx, backend="onnxruntime") as reference,
        Classifier.open(tiny_onnx, backend="opencv") as good,
        Classifier.open(tmp_path / "negated.onnx", verify=False) as bad,
    ):
        pairs = compare(reference, [good, bad], batches, names=["ref", "good", "bad"])
        begun = [Tally(GOLDEN, n=100, agreed=100)]
        (more,) = compare(reference, [good], batches, names=["ref", "good"], tallies=begun)
    assert [(p.reference, p.candidate, p.backend, p.n, p.passed) for p in pairs] == [
        ("ref", "good", "opencv", 7, True),
        ("ref", "bad", "onnxruntime", 7, False),
    ]
    assert (more.n, more.agreement) == (107, 1.0), "a given tally continues"


def test_a_file_with_the_wrong_number_of_logits_is_refused(
    tmp_path: Path, tiny_onnx: Path, make_tiny: Callable[..., bytes]
) -> None:
    card = read_card(tiny_onnx)
    three = replace(card, labels=("cat", "dog", "cow"), golden=((0.0, 1.0, 2.0),) * 4)
    (tmp_path / "three.onnx").write_bytes(seal_onnx(tiny_onnx.read_bytes(), three))
    with pytest.raises(
        UserError, match=r"mine returns logits of shape \(4, 2\); its card has 3 labels"
    ):
        golden_parity(tmp_path / "three.onnx", "onnxruntime", name="mine")


def test_models_of_other_labels_are_not_compared(
    tmp_path: Path, tiny_onnx: Path, make_tiny: Callable[..., bytes], tiny_card: ModelCard
) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(make_tiny(card=replace(tiny_card, labels=("dog", "cat"))))
    with (
        Classifier.open(tiny_onnx) as reference,
        Classifier.open(other) as candidate,
        pytest.raises(UserError, match="b has labels .* a has"),
    ):
        compare(reference, [candidate], [], names=["a", "b"])
