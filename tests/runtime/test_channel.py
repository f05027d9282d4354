"""Per-camera state: how status events affect the label and the moving average."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.camera.frames import Frame, StatusEvent
from edgecat_runtime.loop.answers import Answer
from edgecat_runtime.loop.channel import Channel

Make = Callable[..., Any]
IMAGE = np.zeros((4, 4, 3), np.uint8)
SURE = np.array([4, -4], np.float32)
DOUBTFUL = np.array(
    [math.log(0.6), math.log(0.4)], np.float32
)  # enough to hold a label, not to enter one


@pytest.fixture
def fed(scripted: Make, brightness: Make) -> tuple[Channel, Callable[..., Answer]]:
    """A channel after three dark frames, and a function that feeds it one more."""
    channel, classifier = Channel(Camera(scripted([])), True, None), brightness()

    def feed(logits: np.ndarray, captured: float = 1.0) -> Answer:
        frame = Frame(IMAGE, 0, captured, captured)
        return channel.answer(frame, logits, classifier, captured + 0.25)

    for _ in range(3):
        feed(SURE)
    return channel, feed


@pytest.mark.parametrize(
    ("state", "said", "held", "averaged"),
    [
        ("started", "waiting", False, False),
        ("lost", "no signal", False, False),
        ("back", "waiting", False, False),
        ("switched", "waiting", False, False),
        ("stopped", "stopped", False, False),
        ("reopened", "dark", True, True),
        ("refused", "dark", True, True),
        ("reloaded", "dark", True, False),
    ],
)
def test_status_events_reset_the_right_state(
    fed: tuple[Channel, Callable[..., Answer]], state: Any, said: str, held: bool, averaged: bool
) -> None:
    channel, feed = fed
    told = channel.on_status(StatusEvent(state, "yard", 0, 0.0, "why"))
    assert (told.before, told.after, channel.displayed) == ("dark", said, said)
    assert told.age > 0
    answer = feed(DOUBTFUL)
    assert answer.smoothed.label == ("dark" if held else None)
    assert answer.smoothed.displayed == ("dark" if held else "unsure")
    assert (answer.previous_label, answer.previous_status.value) == (
        ("dark", "live") if held else (None, said)
    )
    assert (answer.before, answer.changed) == (said, not held)
    assert (answer.smoothed.logits != answer.raw.logits) is averaged


def test_a_reload_keeps_the_label_but_not_the_average(
    fed: tuple[Channel, Callable[..., Answer]],
) -> None:
    channel, feed = fed
    channel.on_status(StatusEvent("reloaded", "yard", 0, 0.0, "first reload"))
    assert [feed(DOUBTFUL).smoothed.label for _ in range(5)] == ["dark"] * 5
    channel.on_status(StatusEvent("reloaded", "yard", 0, 0.0, "second reload"))
    answer = feed(-SURE)
    assert (answer.smoothed.label, answer.changed) == ("bright", True), "at once"


def test_status_events_before_the_first_frame_have_age_zero(scripted: Make) -> None:
    channel = Channel(Camera(scripted([])), None, None)
    assert channel.displayed == "stopped"
    told = channel.on_status(StatusEvent("started", "yard", 0, 0.0, ""))
    assert (told.before, told.after, told.age) == ("stopped", "waiting", 0.0)


@pytest.mark.parametrize(
    ("smooth", "stills", "smooths"),
    [(None, False, True), (None, True, False), (True, True, True), (False, False, False)],
)
def test_still_images_are_not_smoothed_by_default(
    scripted: Make, smooth: bool | None, stills: bool, smooths: bool
) -> None:
    source = scripted([])
    source.stills = stills
    assert Channel(Camera(source), smooth, None).smooths is smooths


def test_age_is_measured_from_the_frame_s_own_capture(
    fed: tuple[Channel, Callable[..., Answer]],
) -> None:
    _, feed = fed
    answers = [feed(SURE, captured) for captured in (2.0, 2.1, 2.2)]
    assert [answer.age for answer in answers] == pytest.approx([0.25] * 3)
