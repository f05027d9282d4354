from __future__ import annotations

import importlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecat_runtime import Classifier, ModelCard, UserError
from edgecat_runtime.backends import base
from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.camera.frames import StatusEvent
from edgecat_runtime.loop import reload, trial
from edgecat_runtime.loop.reload import Reloaded, Reloader
from edgecat_runtime.outputs.callback import CallbackSink
from edgecat_runtime.pipeline import Pipeline
from edgecat_runtime.system.atomic import atomic_write
from edgecat_runtime.system.stamp import FileStamp

Make = Callable[..., Any]
SECONDS = 0.02
PATIENCE = 120.0


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


def replace_file(classifier: Classifier, data: bytes) -> None:
    """Replace the file atomically, so that the reloader never sees a part of it."""
    atomic_write(path_of(classifier), data)


def test_a_new_file_is_opened_and_proved(
    served: Classifier, reloader: Reloader, make_tiny: Make, tiny_card: ModelCard
) -> None:
    replace_file(served, make_tiny(card=replace(tiny_card, temperature=2.0)))
    news = news_of(reloader)
    assert news is not None
    assert news.classifier is not None
    assert news.classifier.card.temperature == 2
    assert news.classifier.backend == "onnxruntime", "opened as the first one was"
    assert "was reloaded: tiny, fp32, 32x32, on onnxruntime" in news.reason
    news.classifier.close()


def test_the_old_engine_stays(
    served: Classifier, reloader: Reloader, make_tiny: Make, tiny_card: ModelCard
) -> None:
    good = make_tiny()
    cases: list[tuple[bytes, str]] = [
        (make_tiny(negate=True), "logits of the golden frames differ by"),
        (good[: len(good) // 2], "still serving the previous model"),
        (b"", "still serving the previous model"),
        (make_tiny(card=replace(tiny_card, labels=("dog", "cat"))), "label 0 is 'dog'; expected"),
        (
            make_tiny(card=replace(tiny_card, labels=("cat", "dog", "cow"))),
            "has 3 labels; expected",
        ),
    ]
    for data, why in cases:
        replace_file(served, data)
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
    replace_file(served, make_tiny())
    assert news_of(reloader, 10 * SECONDS) is None, "the same contents"
    replace_file(served, make_tiny(card=replace(tiny_card, temperature=3.0)))
    news = news_of(reloader)
    assert news is not None
    assert news.classifier is not None
    news.classifier.close()


def test_a_file_that_was_replaced_before_the_loop_began(
    served: Classifier, make_tiny: Make, tiny_card: ModelCard
) -> None:
    replace_file(served, make_tiny(card=replace(tiny_card, temperature=2.0)))
    late = Reloader(served, seconds=SECONDS)
    late.start()
    news = news_of(late)
    late.close()
    assert news is not None
    assert news.classifier is not None
    news.classifier.close()


def test_a_file_is_opened_once_it_stopped_changing(
    served: Classifier, make_tiny: Make, tiny_card: ModelCard
) -> None:
    """Written in place, as `cp` does."""
    path, watching = path_of(served), Reloader(served)
    data = make_tiny(card=replace(tiny_card, temperature=2.0))
    looks = []
    for end in (0, len(data) // 3, len(data), len(data), len(data)):
        if path.stat().st_size != end:
            path.write_bytes(data[:end])
        looks.append(watching._is_new())
    assert looks == [False, False, False, True, False]


class Counted:
    """A backend that counts how often it was closed."""

    name = "counted"

    def __init__(self) -> None:
        self.closed = 0

    def infer(self, frames: np.ndarray) -> np.ndarray:
        return np.zeros((len(frames), 2), np.float32)

    def close(self) -> None:
        self.closed += 1


def test_rejected_retired_and_unused_engines_are_closed(
    served: Classifier, make_tiny: Make, tiny_card: ModelCard
) -> None:
    opened, retired = [Counted() for _ in range(3)], Counted()
    cards = iter([tiny_card, replace(tiny_card, labels=("dog", "cat")), tiny_card])
    engines = iter(opened)
    watching = Reloader(served, lambda: Classifier(next(engines), next(cards)), seconds=SECONDS)

    def news_after(data: bytes) -> None:
        before = len(watching._news)
        replace_file(served, data)
        deadline = time.perf_counter() + PATIENCE
        while len(watching._news) == before:
            assert time.perf_counter() < deadline, "no news of the new file"
            time.sleep(SECONDS)

    watching.start()
    for temperature in (2.0, 3.0, 4.0):
        news_after(make_tiny(card=replace(tiny_card, temperature=temperature)))
    assert [engine.closed for engine in opened] == [0, 1, 0], "rejected: other labels"
    taken = watching.take()
    assert taken is not None
    watching.retire(Classifier(retired, tiny_card))
    deadline = time.perf_counter() + PATIENCE
    while not retired.closed:  # by the reloader's thread
        assert time.perf_counter() < deadline
        time.sleep(SECONDS)
    watching.close()
    assert [engine.closed for engine in opened] == [0, 1, 1], "never taken over"
    assert retired.closed == 1


def test_a_file_that_vanishes_before_it_is_read_is_ignored(
    served: Classifier, make_tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    watching = Reloader(served)
    stamp = FileStamp(1, 2, 3)
    monkeypatch.setattr(reload, "file_stamp", lambda path: stamp)
    path_of(served).unlink()
    assert [watching._is_new() for _ in range(3)] == [False] * 3


def test_the_outcome_of_a_reload_is_logged(
    served: Classifier, make_tiny: Make, tiny_card: ModelCard, caplog: pytest.LogCaptureFixture
) -> None:
    watching = Reloader(served)
    for data in (make_tiny(card=replace(tiny_card, temperature=2.0)), make_tiny(negate=True)):
        replace_file(served, data)
        with caplog.at_level(logging.WARNING):
            watching._open()
    watching.close()
    said = [record.getMessage() for record in caplog.records]
    assert ["was reloaded" in text for text in said] == [True, False]
    assert ["still serving the previous model" in text for text in said] == [False, True]


BRITTLE = """
import os, signal, time
import numpy as np
from edgecat_runtime.backends.base import register_backend
from edgecat_runtime.backends.onnxruntime import OnnxRuntimeBackend

def opened(path, card, threads):
    if card.temperature == 2:
        os.kill(os.getpid(), signal.SIGSEGV)
    if card.temperature == 3:
        time.sleep(10**6)
    if card.temperature == 4:
        kept = [np.ones(10**7) for _ in range(10**4)]
    if card.temperature == 5:
        raise ZeroDivisionError("what a library may raise")
    return OnnxRuntimeBackend(path, threads=threads)

register_backend("brittle", (".onnx",), "onnxruntime", opened)
"""


@pytest.fixture
def brittle(
    tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Classifier]:
    """Served by a backend that crashes, hangs or fills the memory, by the card's temperature."""
    (tmp_path / "brittle_backend.py").write_text(BRITTLE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(base, "_REGISTRY", dict(base._REGISTRY))
    sys.modules.pop("brittle_backend", None)
    importlib.import_module("brittle_backend")
    path = tmp_path / "served.onnx"
    path.write_bytes(tiny_onnx.read_bytes())
    with Classifier.open(path, backend="brittle") as classifier:
        yield classifier


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on child processes there")
@pytest.mark.parametrize(
    ("temperature", "seconds", "why"),
    [
        (2.0, 120.0, "it crashes its process (SIGSEGV)"),
        (3.0, 3.0, "it takes longer than 3 s"),
        pytest.param(
            4.0,
            120.0,
            "it needs more than 1.1 GB of memory",
            marks=pytest.mark.skipif(not Path("/proc").is_dir(), reason="no /proc here"),
        ),
        (5.0, 120.0, "what a library may raise"),
    ],
)
def test_a_model_that_ends_its_process_is_refused_in_a_sentence(
    brittle: Classifier,
    make_tiny: Make,
    tiny_card: ModelCard,
    monkeypatch: pytest.MonkeyPatch,
    temperature: float,
    seconds: float,
    why: str,
) -> None:
    monkeypatch.setattr(trial, "TRIAL_SECONDS", seconds)
    watching = Reloader(brittle)
    replace_file(brittle, make_tiny(card=replace(tiny_card, temperature=temperature)))
    watching._open()
    news = watching.take()
    assert news is not None
    assert news.classifier is None
    assert "still serving the previous model" in news.reason
    assert why in news.reason
    assert brittle.classify(np.zeros((9, 9, 3), np.uint8)).label in ("cat", "dog")


def test_a_trial_does_not_hold_up_the_end(
    brittle: Classifier, make_tiny: Make, tiny_card: ModelCard
) -> None:
    watching = Reloader(brittle)
    replace_file(brittle, make_tiny(card=replace(tiny_card, temperature=3.0)))
    watching._stop.set()
    watching._open()
    assert watching.take() is None


def test_where_no_trial_is_possible_the_file_is_opened_without(
    served: Classifier,
    make_tiny: Make,
    tiny_card: ModelCard,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(sys, "executable", "/usr/bin/some-program")
    watching = Reloader(served)
    replace_file(served, make_tiny(card=replace(tiny_card, temperature=2.0)))
    with caplog.at_level(logging.WARNING):
        watching._open()
    news = watching.take()
    watching.close()
    assert news is not None
    assert news.classifier is not None
    news.classifier.close()
    assert "opened without a trial in a child process" in caplog.text


def test_a_backend_of_this_program_alone_is_opened_here(
    served: Classifier, make_tiny: Make, tiny_card: ModelCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(path: Path, card: ModelCard, threads: int | None) -> Counted:
        return Counted()

    monkeypatch.setattr(base, "_REGISTRY", dict(base._REGISTRY))
    base.register_backend("counted", (".onnx",), "numpy", opened)
    served.opened_with = {**(served.opened_with or {}), "backend": "counted"}
    watching = Reloader(served, lambda: Classifier(Counted(), tiny_card))
    replace_file(served, make_tiny(card=replace(tiny_card, temperature=2.0)))
    watching._open()
    news = watching.take()
    assert news is not None
    assert news.classifier is not None


def test_what_comes_from_no_file_is_refused(scripted: Make, brightness: Make) -> None:
    with pytest.raises(UserError, match="not opened from a file and cannot be reloaded"):
        Pipeline(Camera(scripted([])), brightness(), reload=True)
    with pytest.raises(UserError, match="not opened from a file and cannot be reopened"):
        brightness().open_again()


def test_the_engine_changes_between_two_frames_of_a_running_loop(
    scripted: Make,
    served: Classifier,
    make_tiny: Make,
    tiny_card: ModelCard,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reload, "LOOK_SECONDS", SECONDS)
    news: list[StatusEvent] = []
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
            replace_file(served, steps.pop(0))
        if len(news) == 3 and len(confidences) == 2:
            pipeline.stop()
    assert [signal.state for signal in news] == ["started", "refused", "reloaded", "stopped"]
    assert [bool(signal.reason) for signal in news] == [False, True, True, True]
    assert news[2].after == news[2].before, "the label is held"
    assert pipeline.classifier.card.temperature == 4
    with pytest.raises(UserError, match="was closed"):
        served.classify(np.zeros((9, 9, 3), np.uint8))
