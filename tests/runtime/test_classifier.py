from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgecat_runtime import CardError, Classifier, GateError, UserError
from edgecat_runtime.backends import available_backends, open_backend
from edgecat_runtime.model.card import ModelCard

BACKENDS = ("onnxruntime", "opencv")


def _frame(seed: int, height: int = 90, width: int = 160) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_frame_and_many_give_the_same_answer(tiny_onnx: Path, backend: str) -> None:
    frames = [_frame(0), _frame(1, 32, 32), _frame(2, 20, 300)]
    with Classifier.open(tiny_onnx, backend=backend) as classifier:
        assert classifier.backend == backend
        together = classifier.classify_batch(frames)
        for frame, expected in zip(frames, together, strict=True):
            one = classifier.classify(frame)
            assert one.label == expected.label
            assert np.allclose(one.logits, expected.logits, atol=1e-5)
    assert classifier.classify_batch([]) == []


def test_backends_agree(tiny_onnx: Path) -> None:
    batch = np.stack([_frame(i, 32, 32) for i in range(8)])
    answers = []
    for name in BACKENDS:
        with Classifier.open(tiny_onnx, backend=name) as classifier:
            answers.append(classifier.infer(batch))
    assert answers[0].dtype == np.float32
    assert answers[0].shape == (8, 2)
    assert np.abs(answers[0] - answers[1]).max() < 1e-5


def test_a_prediction_is_a_softmax_at_the_temperature(
    tmp_path: Path, make_tiny: Callable[..., bytes], tiny_card: ModelCard
) -> None:
    path = tmp_path / "warm.onnx"
    path.write_bytes(make_tiny(card=replace(tiny_card, temperature=2.0)))
    with Classifier.open(path) as classifier:
        prediction = classifier.predict(np.array([1.0, 3.0], np.float32))
    assert prediction.label == "dog"
    assert prediction.confidence == pytest.approx(1 / (1 + np.exp(-1)))
    assert sum(prediction.probabilities.values()) == pytest.approx(1)
    assert list(prediction.probabilities) == ["cat", "dog"]
    assert prediction.logits == (1.0, 3.0)
    assert str(prediction) == "dog 73.1%"


@pytest.mark.parametrize(
    ("temperature", "limit", "logits", "label"),
    [
        (1.0, None, [-50.0, -50.0], "cat"),
        (1.0, -math.log(2), [0.0, 0.0], "cat"),  # at the limit
        (1.0, -1.0, [0.0, 3.0], "dog"),
        (1.0, -1.0, [-3.0, 0.0], None),
        (1.0, -3.1, [0.0, 3.0], None),
        (5.0, -3.1, [0.0, 3.0], "dog"),  # the warmer, the lower the energy of the same logits
        (1.0, 9.0, [float("nan"), 0.0], None),
    ],
)
def test_high_energy_is_answered_unsure(
    tiny_onnx: Path, temperature: float, limit: float | None, logits: list[float], label: str | None
) -> None:
    with Classifier.open(tiny_onnx) as classifier:
        classifier.card = replace(classifier.card, temperature=temperature, energy_limit=limit)
        prediction = classifier.predict(np.array(logits, np.float32))
    energy = -temperature * np.log(np.exp(np.array(logits) / temperature).sum())
    assert prediction.label == label
    assert prediction.energy == pytest.approx(energy, nan_ok=True)
    assert prediction.unsure is (label is None)
    assert prediction.displayed == (label or "unsure")
    assert (prediction.confidence == 0) is prediction.unsure
    if prediction.unsure:
        assert str(prediction) == "unsure"
        assert prediction.best in prediction.probabilities
    else:
        assert prediction.confidence == max(prediction.probabilities.values())
        assert prediction.best == label


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_negated_convolution_is_refused_though_every_hash_fits(
    tmp_path: Path, make_tiny: Callable[..., bytes], backend: str
) -> None:
    path = tmp_path / "negated.onnx"
    path.write_bytes(make_tiny(negate=True))
    with pytest.raises(GateError, match="golden frames"):
        Classifier.open(path, backend=backend)
    Classifier.open(path, backend=backend, verify=False).close()


def test_a_changed_preprocess_is_refused(
    tmp_path: Path, make_tiny: Callable[..., bytes], tiny_card: ModelCard
) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(make_tiny(card=replace(tiny_card, fit="letterbox")))
    with pytest.raises(GateError, match=r"preprocessing here differs by .* grey levels"):
        Classifier.open(path)


def test_a_card_without_golden_logits_cannot_be_verified(tiny_onnx: Path) -> None:
    with Classifier.open(tiny_onnx) as classifier:
        classifier.card = replace(classifier.card, golden=())
        with pytest.raises(GateError, match="no golden logits"):
            classifier.self_test()


def test_more_labels_than_classes_are_refused(
    tmp_path: Path, tiny_onnx: Path, tiny_card: ModelCard
) -> None:
    from edgecat_runtime.model.artifact import read_card, seal_onnx

    golden = tuple((*row, 0.0) for row in read_card(tiny_onnx).golden)
    path = tmp_path / "three.onnx"
    card = replace(tiny_card, labels=("cat", "dog", "cow"), golden=golden)
    path.write_bytes(seal_onnx(tiny_onnx.read_bytes(), card))
    with pytest.raises(CardError, match=r"returns logits of shape .*; its card has 3 labels"):
        Classifier.open(path)
    with pytest.raises(CardError, match="got 1 label; the model has 2 classes"):
        Classifier.open(tiny_onnx, labels=["cat"])


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        (np.zeros((48, 64), np.uint8), r"shape \(48, 64\); expected \(h, w, 3\) BGR"),
        (np.zeros((48, 64, 4), np.uint8), r"shape \(48, 64, 4\)"),
        (np.zeros((0, 64, 3), np.uint8), r"shape \(0, 64, 3\)"),
        (np.zeros((48, 64, 3), np.float32), "type float32; expected uint8"),
        ([[1, 2, 3]], "frame is a list"),
        (None, "frame is a NoneType"),
    ],
)
def test_a_frame_of_another_form_is_refused(
    tiny_onnx: Path, frame: np.ndarray, sentence: str
) -> None:
    with Classifier.open(tiny_onnx) as classifier, pytest.raises(UserError, match=sentence):
        classifier.classify(frame)


def test_an_unknown_backend_is_refused(tiny_onnx: Path, tiny_card: ModelCard) -> None:
    with pytest.raises(UserError, match="expected one of auto, onnxruntime, openvino, opencv"):
        open_backend(tiny_onnx, tiny_card, name="tpu")
    with pytest.raises(UserError, match=r"no backend can open model\.xyz"):
        open_backend("model.xyz", tiny_card)


def test_what_is_installed_is_found(tiny_onnx: Path) -> None:
    assert available_backends(tiny_onnx)[:1] == ("onnxruntime",)
    assert available_backends("model.xyz") == ()


def test_threads_reach_the_backend(tiny_onnx: Path) -> None:
    with Classifier.open(tiny_onnx, backend="onnxruntime", threads=1) as classifier:
        options = classifier._backend._session.get_session_options()  # type: ignore[attr-defined]
        assert options.intra_op_num_threads == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_closing_twice_is_harmless(tiny_onnx: Path, backend: str) -> None:
    classifier = Classifier.open(tiny_onnx, backend=backend)
    classifier.close()
    classifier.close()
