from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.camera.frames import StatusEvent
from edgecat_runtime.loop.answers import Answer
from edgecat_runtime.outputs.callback import CallbackSink
from edgecat_runtime.pipeline import Pipeline

Make = Callable[..., Any]


def frames(*levels: int) -> list[np.ndarray]:
    return [np.full((24, 32, 3), level, np.uint8) for level in levels]


def test_a_function_is_an_output(
    scripted: Make, brightness: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    Pipeline(Camera(scripted(frames(0, 255))), brightness(), [print], smooth=False).run()
    assert capsys.readouterr().out.splitlines() == [
        "the scripted camera, frame 0: dark 100.0%",
        "the scripted camera, frame 1: bright 100.0%",
    ]


def test_changes_alone_and_news(scripted: Make, brightness: Make) -> None:
    answers: list[Answer] = []
    news: list[StatusEvent] = []
    sink = CallbackSink(answers.append, on_signal=news.append, only_changes=True, inline=True)
    camera = Camera(scripted(frames(0, 0, 255, 255, 0)))
    Pipeline(camera, brightness(), [sink], smooth=False).run()
    assert [answer.frame.index for answer in answers] == [0, 2, 4]
    assert [signal.state for signal in news] == ["started", "stopped"]


def test_a_function_that_raises_ends_its_own_calls_alone(
    scripted: Make, brightness: Make, caplog: pytest.LogCaptureFixture
) -> None:
    def picky(answer: Answer) -> None:
        raise ValueError("no")

    with caplog.at_level(logging.ERROR):
        summary = Pipeline(Camera(scripted(frames(*range(9)))), brightness(), [picky]).run()
    assert summary.frames == 9
    assert summary.failures == ("the function picky stopped: no",)
    assert len(caplog.records) == 1


def test_what_is_no_function_is_refused(scripted: Make, brightness: Make) -> None:
    with pytest.raises(TypeError, match=r"output is 'events.jsonl'; expected a Sink or a function"):
        Pipeline(Camera(scripted([])), brightness(), ["events.jsonl"])  # type: ignore[list-item]
