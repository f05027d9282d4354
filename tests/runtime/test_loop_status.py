"""The web page's view of the loop: states, counters, history and metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.loop.answers import Answer
from edgecat_runtime.model.status import Status
from edgecat_runtime.pipeline import Pipeline
from edgecat_runtime.web import loop_status
from edgecat_runtime.web.loop_status import HISTORY_SECONDS, SAMPLE_SECONDS, LoopStatus

Make = Callable[..., Any]


class Clock:
    """A clock that the test advances."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(loop_status, "perf_counter", clock)
    return clock


@pytest.fixture
def feed(scripted: Make, brightness: Make, clock: Clock) -> LoopStatus:
    """A feed of two cameras that are never read."""
    cameras = [Camera(scripted([])) for _ in range(2)]
    feed = LoopStatus(Pipeline(cameras, brightness()))
    for camera in cameras:
        camera.source.name = f"camera {camera.number}"
    return feed


def of_camera(given: Answer, number: int, **changes: Any) -> Answer:
    return replace(given, frame=replace(given.frame, camera=number), **changes)


@pytest.mark.parametrize(
    ("fps", "silence", "state"),
    [
        (30.0, 0.0, "live"),
        (30.0, 2.99, "live"),
        (30.0, 3.0, "no signal"),
        (0.0, 2.99, "live"),
        (0.0, 3.0, "no signal"),
        (0.5, 7.99, "live"),  # four frame periods
        (0.5, 8.0, "no signal"),
    ],
)
def test_a_camera_is_live_until_frames_are_overdue(
    feed: LoopStatus,
    clock: Clock,
    answer: Callable[..., Answer],
    fps: float,
    silence: float,
    state: str,
) -> None:
    view = feed.views[0]
    assert view.state == "waiting"
    feed.put(replace(answer(), fps=fps))
    clock.now += silence
    assert view.silence == pytest.approx(silence)
    assert view.state == view.to_dict()["state"] == state
    assert view.to_dict()["fps"] == (fps if state == "live" else 0)
    view.camera._reader.recovery.state = Status.NO_SIGNAL
    assert view.state == "no signal"
    feed.end()
    assert view.state == "stopped"


def test_the_overall_state_is_that_of_the_worst_camera(
    feed: LoopStatus, clock: Clock, answer: Callable[..., Answer]
) -> None:
    assert feed.state == "waiting"
    feed.put(of_camera(answer(), 1))
    clock.now += 2
    feed.put(of_camera(answer(), 0))
    assert (feed.state, feed.silence) == ("live", 2)
    clock.now += 1.5
    assert [view.state for view in feed.views] == ["live", "no signal"]
    assert (feed.state, feed.silence) == ("no signal", 3.5)


def test_answers_are_counted_by_camera(feed: LoopStatus, answer: Callable[..., Answer]) -> None:
    for label, changed in (("cat", True), ("cat", False), ("dog", True)):
        feed.put(of_camera(answer(7, seconds=1.5, label=label, name="1.jpg"), 0, changed=changed))
    camera = feed.views[0].camera
    camera._reader.recovery.losses, camera.source.dropped, camera.source.skipped = 2, 3, 4
    first, second = feed.cameras()
    assert first == {
        "camera": 0,
        "source": "camera 0",
        "state": "live",
        "silence_s": 0.0,
        "frames": 3,
        "dropped": 3,
        "skipped": 4,
        "losses": 2,
        "frozen": False,
        "changes": 2,
        "frame": 7,
        "time": 1.5,
        "picture": "1.jpg",
        "size": "64x48",
        "label": "dog",
        "confidence": 0.75,
        "fps": 30.0,
        "probabilities": [("dog", 0.75), ("cat", 0.25)],
    }
    assert (second["camera"], second["frames"], "label" in second) == (1, 0, False)
    assert feed.status()["cameras"][0]["answers"] == {"cat": 2, "dog": 1}
    many = dict(zip("abcdefg", (0.05, 0.3, 0.01, 0.2, 0.04, 0.25, 0.15), strict=True))
    given = answer()
    feed.put(replace(given, smoothed=replace(given.smoothed, probabilities=many)))
    shown = feed.cameras()[0]["probabilities"]
    assert shown == [("b", 0.3), ("f", 0.25), ("d", 0.2), ("g", 0.15), ("a", 0.05)]


def test_history_covers_the_last_minutes_of_live_frames(
    feed: LoopStatus, clock: Clock, answer: Callable[..., Answer]
) -> None:
    feed.sample()
    assert not feed.views[0].history, "nothing was classified yet"
    for label in ("cat", "dog"):
        feed.put(answer(label=label))
        feed.sample()
    clock.now += 10
    feed.sample()
    assert [(label, share) for _, label, share in feed.views[0].history] == [
        ("cat", 0.75),
        ("dog", 0.75),
    ]
    feed.put(answer(label="cat"))
    for _ in range(1000):
        feed.sample()
    assert len(feed.views[0].history) == HISTORY_SECONDS / SAMPLE_SECONDS == 600


def test_metrics_match_the_feed(
    feed: LoopStatus, clock: Clock, answer: Callable[..., Answer]
) -> None:
    parser = pytest.importorskip("prometheus_client.parser", reason="the metrics need it")
    from edgecat_runtime.web.metrics import exposition

    for label in ("cat", "cat", "dog"):
        feed.put(answer(label=label))
    camera = feed.views[0].camera
    camera._reader.recovery.losses, camera.source.dropped, camera.source.skipped = 2, 5, 4
    clocks = feed.loop.clocks
    for name, number in (("infer", 3), ("age", 2)):
        for _ in range(number):
            clocks[name].add(0.25)
    clock.now += 1.5
    text, kind = exposition(feed, lambda: 6)()
    assert kind.startswith("text/plain")
    found: dict[tuple[str, ...], float] = {}
    for family in parser.text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = [value for _, value in sorted(sample.labels.items())]
            found[(sample.name.removeprefix("edgecat_"), *labels)] = sample.value
    first, second = ("0", "camera 0"), ("1", "camera 1")
    expected = {
        ("frames_total", *first): 3,
        ("frames_dropped_total", *first): 5,
        ("frames_skipped_total", *first): 4,
        ("losses_total", *first): 2,
        ("changes_total", *first): 3,
        ("answers_total", "0", "cat", "camera 0"): 2,
        ("answers_total", "0", "dog", "camera 0"): 1,
        ("up", *first): 1,
        ("silence_seconds", *first): 1.5,
        ("frames_total", *second): 0,
        ("up", *second): 0,
        ("viewers",): 6,
        ("stage_seconds_count", "infer"): 3,
        ("stage_seconds_sum", "infer"): 0.75,
        ("stage_seconds", "0.95", "infer"): 0.25,
        ("stage_seconds_count", "output"): 0,
        ("frame_age_seconds_count",): 2,
        ("frame_age_seconds_sum",): 0.5,
        ("frame_age_seconds", "0.99"): 0.25,
        ("engine_info", "tiny", "brightness", "cpu", "32x32", "fp32"): 1,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert not any(key[0] == "stage_seconds_count" and "age" in key for key in found)
