from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecat_runtime import Classifier, ModelCard, UserError
from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.camera.frames import Signal
from edgecat_runtime.loop import reload
from edgecat_runtime.loop.reload import Reloaded, Reloader
from edgecat_runtime.outputs.callback import CallbackSink
from edgecat_runtime.pipeline import Pipeline

Make = Callable[..., Any]
SECONDS = 0.02
PATIENCE = 20.0


@pytest.fixture
def served(make_tiny: Make, tmp_path: Path) -> Iterator[Classifier]:
    """A classifier whose file may be replaced."""
    path = tmp_path / "served.onnx"
    path.write_bytes(make_tiny())
    with Classifier.open(path, backend="onnxruntime") as classifier:
        yield classifier


@pytest.fixture
def reloader(served: Classifier) -> Iterator[Reloader]:
    watching = Reloader(served, seconds=SECONDS)
    watching.start()
    deadline = time.perf_counter() + PATIENCE
    while not watching._digest and time.perf_counter() < deadline:
        time.sleep(SECONDS / 10)  # before it knows the file, any other time of it is news
    yield watching
    watching.close()


def news_of(reloader: Reloader, seconds: float = PATIENCE) -> Reloaded | None:
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        if (news := reloader.take()) is not None:
            return news
        time.sleep(SECONDS)
    return None


def path_of(classifier: Classifier) -> Path:
    assert classifier.path is not None
    return classifier.path


def test_a_new_file_is_opened_and_proved(
    served: Classifier, reloader: Reloader, make_tiny: Make, tiny_card: ModelCard
) -> None:
    path_of(served).write_bytes(make_tiny(card=replace(tiny_card, temperature=2.0)))
    news = news_of(reloader)
    assert news is not None
    assert news.classifier is not None
    assert news.classifier.card.temperature == 2
    assert news.classifier.backend == "onnxruntime", "opened as the first one was"
    assert "answers now: tiny, fp32, 32x32, on onnxruntime" in news.reason
    news.classifier.close()


def test_the_old_engine_stays(
    served: Classifier, reloader: Reloader, make_tiny: Make, tiny_card: ModelCard
) -> None:
    good = make_tiny()
    cases: list[tuple[bytes, str]] = [
        (make_tiny(negate=True), "answers its golden frames"),
        (good[: len(good) // 2], "the old engine goes on"),
        (b"", "the old engine goes on"),
        (make_tiny(card=replace(tiny_card, labels=("dog", "cat"))), "label 0 is 'dog'; expected"),
        (
            make_tiny(card=replace(tiny_card, labels=("cat", "dog", "cow"))),
            "has 3 labels; expected",
        ),
    ]
    for data, why in cases:
        path_of(served).write_bytes(data)
        news = news_of(reloader)
        assert news is not None, why
        assert news.classifier is None, why
        assert why in news.reason
        assert news_of(reloader, 4 * SECONDS) is None, "told once"


def test_nothing_is_opened_for_nothing(
    served: Classifier, reloader: Reloader, make_tiny: Make, tiny_card: ModelCard
) -> None:
    path = path_of(served)
    os.utime(path)
    assert news_of(reloader, 10 * SECONDS) is None, "touched"
    path.unlink()
    assert news_of(reloader, 10 * SECONDS) is None, "gone"
    path.write_bytes(make_tiny())
    assert news_of(reloader, 10 * SECONDS) is None, "the same contents"
    path.write_bytes(make_tiny(card=replace(tiny_card, temperature=3.0)))
    news = news_of(reloader)
    assert news is not None
    assert news.classifier is not None
    news.classifier.close()


def test_a_file_that_was_replaced_before_the_loop_began(
    served: Classifier, make_tiny: Make, tiny_card: ModelCard
) -> None:
    path_of(served).write_bytes(make_tiny(card=replace(tiny_card, temperature=2.0)))
    late = Reloader(served, seconds=SECONDS)
    late.start()
    news = news_of(late)
    late.close()
    assert news is not None
    assert news.classifier is not None
    news.classifier.close()


def test_what_comes_from_no_file_is_refused(scripted: Make, brightness: Make) -> None:
    with pytest.raises(UserError, match="comes from no file cannot be reloaded"):
        Pipeline(Camera(scripted([])), brightness(), reload=True)
    with pytest.raises(UserError, match="comes from no file cannot be opened again"):
        brightness().open_again()


def test_the_engine_changes_between_two_frames_of_a_running_loop(
    scripted: Make,
    served: Classifier,
    make_tiny: Make,
    tiny_card: ModelCard,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reload, "LOOK_SECONDS", SECONDS)
    news: list[Signal] = []
    frames = (np.full((40, 40, 3), 90, np.uint8) for _ in range(10**6))
    camera = Camera(scripted(frames, live=True, fps=100))
    sink = CallbackSink(lambda answer: None, on_signal=news.append, inline=True)
    pipeline = Pipeline(camera, served, [sink], reload=True)
    steps = [make_tiny(negate=True), make_tiny(card=replace(tiny_card, temperature=4.0))]
    confidences: dict[float, None] = {}
    deadline = time.perf_counter() + PATIENCE
    for answer in pipeline:
        assert time.perf_counter() < deadline, "no news of the new file"
        confidences[round(answer.raw.confidence, 6)] = None
        if steps and len(news) == 3 - len(steps):
            path_of(served).write_bytes(steps.pop(0))
        if len(news) == 3 and len(confidences) == 2:
            pipeline.stop()
    assert [signal.state for signal in news] == ["started", "refused", "reloaded", "stopped"]
    assert [bool(signal.reason) for signal in news] == [False, True, True, True]
    assert news[2].after == news[2].before, "the label is held"
    assert pipeline.classifier.card.temperature == 4
    with pytest.raises(AttributeError):
        served.classify(np.zeros((9, 9, 3), np.uint8))  # it was closed
