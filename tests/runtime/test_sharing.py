"""One classifier in several threads, after it was closed, and with what it cannot take."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecat_runtime import Classifier, UserError
from edgecat_runtime.model.card import ModelCard

InThreads = Callable[[int, Callable[[int], None]], None]

MODULES = {"onnxruntime": "onnxruntime", "opencv": "cv2", "openvino": "openvino"}
FRAMES = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)


@pytest.fixture(params=MODULES)
def classifier(request: pytest.FixtureRequest, tiny_onnx: Path) -> Any:
    """The tiny model on each backend, one thread inside, so that callers alone are beside it."""
    pytest.importorskip(MODULES[request.param], reason=f"needs {request.param}")
    with Classifier.open(tiny_onnx, backend=request.param, device="cpu", threads=1) as opened:
        yield opened


def test_no_thread_gets_another_ones_answer(in_threads: InThreads, classifier: Classifier) -> None:
    expected = [classifier.infer(frame[None]) for frame in FRAMES]

    def work(number: int) -> None:
        for k in range(250):
            chosen = (3 * k + number) % len(FRAMES)
            np.testing.assert_array_equal(
                classifier.infer(FRAMES[chosen : chosen + 1]), expected[chosen]
            )

    in_threads(3, work)


def test_batches_of_different_sizes_do_not_mix(
    in_threads: InThreads, classifier: Classifier
) -> None:
    expected = np.concatenate([classifier.infer(frame[None]) for frame in FRAMES])

    def work(number: int) -> None:
        for k in range(100):
            n = 1 + (k + 3 * number) % len(FRAMES)
            np.testing.assert_allclose(classifier.infer(FRAMES[:n]), expected[:n], atol=1e-5)

    in_threads(3, work)


def test_closing_waits_and_then_every_method_refuses(
    in_threads: InThreads, classifier: Classifier
) -> None:
    refused: list[str] = []

    def work(number: int) -> None:
        if number == 0:
            for _ in range(20):
                classifier.infer(FRAMES[:1])
            classifier.close()
            return
        try:
            while True:
                classifier.infer(FRAMES[:1])
        except UserError as error:
            refused.append(str(error))

    in_threads(3, work)
    assert refused == ["the model was closed. Open it again"] * 2
    for use in (
        lambda: classifier.infer(FRAMES),
        lambda: classifier.infer(FRAMES[:0]),
        lambda: classifier.classify(FRAMES[0]),
        lambda: classifier.classify_batch(list(FRAMES)),
        lambda: classifier.self_test(),
        lambda: classifier._backend.infer(FRAMES),
        classifier.__enter__,
    ):
        with pytest.raises(UserError, match="was closed. Open it again"):
            use()
    classifier.close()
    with classifier.open_again() as again:
        again.infer(FRAMES)


def test_no_frames_have_no_logits(classifier: Classifier) -> None:
    logits = classifier.infer(FRAMES[:0])
    assert (logits.shape, logits.dtype) == ((0, 2), np.float32)
    assert classifier.classify_batch([]) == []


WRONG_FRAMES: list[tuple[Any, str]] = [
    (FRAMES[0], r"uint8 \(32, 32, 3\); expected uint8 \(n, 32, 32, 3\)"),
    (FRAMES[:, :31], r"uint8 \(8, 31, 32, 3\)"),
    (np.zeros((1, 32, 32, 4), np.uint8), r"uint8 \(1, 32, 32, 4\)"),
    (np.zeros((1, 3, 32, 32), np.uint8), r"uint8 \(1, 3, 32, 32\)"),
    (FRAMES.astype(np.float32), r"float32 \(8, 32, 32, 3\)"),
    (FRAMES.tolist(), "frames is a list"),
    (None, "frames is a NoneType"),
]
WRONG_LOGITS: list[Any] = [np.zeros((1, 2), np.float32), np.zeros(3, np.float32), [0.0, 1.0], None]


def test_what_has_another_form_is_refused(classifier: Classifier) -> None:
    for frames, sentence in WRONG_FRAMES:
        with pytest.raises(UserError, match=sentence):
            classifier.infer(frames)
    for logits in WRONG_LOGITS:
        with pytest.raises(UserError, match=r"expected an array \(2,\), one row"):
            classifier.predict(logits)


def test_frames_need_not_be_contiguous(classifier: Classifier) -> None:
    turned = FRAMES[::-1, :, ::-1]
    expected = classifier.infer(np.ascontiguousarray(turned))
    np.testing.assert_array_equal(classifier.infer(turned), expected)


class Meeting:
    """A backend in which two callers meet, or wait in vain."""

    name = "meeting"

    def __init__(self, *, thread_safe: bool) -> None:
        self.thread_safe = thread_safe
        self.inside = threading.Barrier(2, timeout=20.0 if thread_safe else 0.2)

    def infer(self, frames: np.ndarray) -> np.ndarray:
        self.inside.wait()
        return np.zeros((len(frames), 2), np.float32)

    def close(self) -> None: ...


def test_only_backends_that_are_not_thread_safe_are_called_in_turns(
    in_threads: InThreads, tiny_card: ModelCard
) -> None:
    def work(number: int) -> None:
        classifier.infer(FRAMES)

    classifier = Classifier(Meeting(thread_safe=True), tiny_card)
    in_threads(2, work)
    classifier = Classifier(Meeting(thread_safe=False), tiny_card)
    with pytest.raises(threading.BrokenBarrierError):
        in_threads(2, work)


def test_onnx_runtime_serves_threads_side_by_side(tiny_onnx: Path) -> None:
    with Classifier.open(tiny_onnx, backend="onnxruntime", device="cpu") as opened:
        assert opened._backend.thread_safe is True  # type: ignore[attr-defined]
