from __future__ import annotations

import dataclasses
import gc
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgecat_runtime import pipeline
from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.classifier import Classifier
from edgecat_runtime.errors import DeviceError, UserError
from edgecat_runtime.loop.answers import Answer
from edgecat_runtime.loop.engine import Engine
from edgecat_runtime.outputs.events import Events
from edgecat_runtime.outputs.recorder import Recorder
from edgecat_runtime.outputs.sink import QUEUED, Sink, Stop
from edgecat_runtime.pipeline import Pipeline
from edgecat_runtime.system.clocks import KEPT, Clock, Rate

Make = Callable[..., Any]
SUMMARY_KEYS = ["frames", "seconds", "fps", "dropped", "stages_ms", "frame_age_ms", "losses"]


def grey(level: int) -> np.ndarray:
    return np.full((48, 64, 3), level, np.uint8)


class Seen(Sink):
    """Keeps which pictures it was shown, and may fail or stop."""

    name = "the seen"
    inline = True

    def __init__(self, *, wants_overlay: bool = False, error: Exception | None = None) -> None:
        self.wants_overlay, self.error = wants_overlay, error
        self.pictures: list[np.ndarray] = []
        self.answers: list[Answer] = []
        self.closed = 0

    def write(self, answer: Answer, picture: np.ndarray) -> None:
        if self.error is not None and len(self.answers) == 3:
            raise self.error
        self.answers.append(answer)
        self.pictures.append(picture)

    def close(self) -> None:
        self.closed += 1


def test_raw_answers_are_those_of_the_classifier_frame_by_frame(
    tiny_onnx: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (90, 120, 3), np.uint8) for _ in range(12)]
    writer = cv2.VideoWriter(str(tmp_path / "c.mkv"), cv2.VideoWriter.fourcc(*"HFYU"), 9, (120, 90))
    for image in images:
        writer.write(image)
    writer.release()
    with Classifier.open(tiny_onnx) as classifier, Camera.open(tmp_path / "c.mkv") as camera:
        answers = list(Pipeline(camera, classifier))
        assert [answer.raw for answer in answers] == [classifier.classify(i) for i in images]
    assert [answer.frame.index for answer in answers] == list(range(12))
    assert answers[0].raw == answers[0].smoothed
    assert answers[5].raw.logits != answers[5].smoothed.logits


@pytest.mark.parametrize(
    ("smooth", "stills", "changes"),
    [
        (True, False, [0, 6]),
        (None, False, [0, 6]),
        (False, False, [0, 2, 3, 5]),
        (None, True, [0, 2, 3, 5]),
        (True, True, [0, 6]),
    ],
)
def test_events_are_changes_of_the_decision(
    scripted: Make,
    brightness: Make,
    tmp_path: Path,
    smooth: bool | None,
    stills: bool,
    changes: list[int],
) -> None:
    source = scripted([grey(level) for level in (20, 20, 200, 20, 20, 235, 235, 235)])
    source.stills = stills
    path = tmp_path / "events.jsonl"
    with Camera(source) as camera:
        answers = list(Pipeline(camera, brightness(), [Events(path)], smooth=smooth))
    started, *events, stopped = [json.loads(line) for line in path.read_text().splitlines()]
    assert [event["frame"] for event in events] == changes
    assert [answer.frame.index for answer in answers if answer.changed] == changes
    said = ["stopped", "waiting", "dark", "bright", "dark", "bright"][: len(changes) + 2]
    assert [event["to"] for event in (started, *events, stopped)] == [*said[1:], "stopped"]
    assert [event["from"] for event in (started, *events, stopped)] == said
    assert stopped["reason"] == "the source ended"
    assert events[-1]["raw"]["bright"] > 0.99


def test_the_overlay_is_drawn_once_on_a_copy_and_only_if_wanted(
    scripted: Make, brightness: Make
) -> None:
    frames = [grey(128) for _ in range(3)]
    plain, one, other = Seen(), Seen(wants_overlay=True), Seen(wants_overlay=True)
    Pipeline(Camera(scripted(frames)), brightness(), [plain, one, other]).run()
    assert all((frame == 128).all() for frame in frames)
    for index, frame in enumerate(frames):
        assert plain.pictures[index] is frame
        assert one.pictures[index] is other.pictures[index]
        assert (one.pictures[index] != 128).any()


def test_nothing_is_drawn_where_nobody_looks(
    scripted: Make, brightness: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "draw_overlay", lambda *arguments: pytest.fail("drawn in vain"))
    frame, seen = grey(1), Seen()
    Pipeline(Camera(scripted([frame] * 50)), brightness(), [seen]).run()
    assert len(seen.pictures) == 50
    assert all(picture is frame for picture in seen.pictures), "frames are not copied either"


def test_the_summary_has_the_promised_figures(scripted: Make, brightness: Make) -> None:
    source = scripted((grey(i) for i in range(40)), live=True, fps=200)
    loop = Pipeline(Camera(source), brightness(0.02))
    summary = loop.run()
    figures = summary.to_dict()
    assert list(figures) == SUMMARY_KEYS
    assert list(figures["stages_ms"]) == ["capture", "wait", "preprocess", "infer", "output"]
    assert list(figures["frame_age_ms"]) == ["p50", "p95"]
    json.dumps(figures)
    assert figures["frames"] + figures["dropped"] == 40
    assert figures["dropped"] > 10
    assert figures["stages_ms"]["infer"] >= 20
    assert figures["fps"] == pytest.approx(figures["frames"] / figures["seconds"], rel=0.01)
    assert 20 <= figures["frame_age_ms"]["p50"] <= figures["frame_age_ms"]["p95"]
    assert f"{summary.dropped} dropped" in str(summary)
    assert "ms (median): capture" in str(summary)


def test_an_empty_run_has_a_summary_too(scripted: Make, brightness: Make) -> None:
    summary = Pipeline(Camera(scripted([])), brightness()).run()
    assert (summary.frames, summary.fps, summary.stages_ms["infer"]) == (0, 0.0, 0.0)
    assert str(summary).startswith("0 frames in 0.0 s")


@pytest.mark.parametrize(("most", "frames"), [(1, 1), (7, 7), (100, 20), (None, 20)])
def test_it_ends_after_so_many_frames(
    scripted: Make, brightness: Make, most: int | None, frames: int
) -> None:
    with Camera(scripted(grey(i) for i in range(20))) as camera:
        assert Pipeline(camera, brightness(), max_frames=most).run().frames == frames


@pytest.mark.parametrize("most", [1, 6, 7])
def test_max_frames_counts_all_cameras_together(
    scripted: Make, brightness: Make, most: int
) -> None:
    cameras = [Camera(scripted([grey(9)] * 20)) for _ in range(3)]
    loop = Pipeline(cameras, brightness(), max_frames=most)
    for _ in loop:
        time.sleep(0.002)  # all three have their next frame by then
    assert loop.summary.frames == most


def test_stop_ends_a_loop_that_waits_for_a_frame(scripted: Make, brightness: Make) -> None:
    class Stopping(Seen):
        def write(self, answer: Answer, picture: np.ndarray) -> None:
            super().write(answer, picture)
            threading.Timer(0.1, loop.stop).start()  # by then the loop waits for the next frame

    def frames() -> Iterator[np.ndarray]:
        yield grey(1)
        ended.wait(20)
        yield grey(2)

    seen, ended = Stopping(), threading.Event()
    with Camera(scripted(frames(), live=True, fps=1000)) as camera:
        loop = Pipeline(camera, brightness(), [seen])
        assert loop.run().frames == 1, "the stop took effect only with the next frame"
        ended.set()
    assert seen.closed == 1


@pytest.mark.parametrize("live", [False, True])
def test_a_file_is_fitted_while_the_frame_before_is_answered(
    scripted: Make, brightness: Make, live: bool
) -> None:
    classifier = brightness(0.02 if live else 0.0)
    where = []
    inner = classifier.preprocess
    classifier.preprocess = lambda image: where.append(threading.current_thread()) or inner(image)
    frames = [grey(level) for level in (10, 60, 110)]
    with Camera(scripted(frames, live=live, fps=20.0)) as camera:
        answers = list(Pipeline(camera, classifier))
    assert [thread is threading.main_thread() for thread in where] == [live] * len(answers)
    assert [a.raw for a in answers] == [classifier.classify(a.frame.image) for a in answers]


@pytest.mark.parametrize(
    ("change", "again"), [({"width": 40}, True), ({"fit": "letterbox"}, True), ({}, False)]
)
def test_a_frame_that_was_fitted_to_another_engine_is_fitted_again(
    scripted: Make, brightness: Make, change: dict[str, Any], again: bool
) -> None:
    first = brightness()
    card = dataclasses.replace(first.card, **change)
    engine = Engine(first, None, reload=False, tell=lambda state, reason: None)
    with Camera(scripted([grey(10)] * 2)) as camera:
        camera.fit = engine.fit
        frame = camera.read()
    assert frame.fitted.pixels.shape == (first.card.height, first.card.width, 3)
    assert engine.fitted(frame) is frame.fitted
    engine.classifier = Classifier(first._backend, card)
    assert (engine.fitted(frame) is not frame.fitted) == again
    assert np.array_equal(engine.fitted(frame).pixels, engine.classifier.preprocess(frame.image))


@pytest.mark.parametrize(
    ("stills", "most", "lingers"),
    [
        ([True], None, True),
        ([False], None, False),
        ([False, True], None, True),
        ([True], 3, False),
        ([True], 5, True),
    ],
)
def test_still_images_linger_until_seen(
    scripted: Make, brightness: Make, stills: list[bool], most: int | None, lingers: bool
) -> None:
    """Videos do not, nor does a run that reached max_frames."""
    stops: list[threading.Event] = []

    class Window(Seen):
        def linger(self, stop: threading.Event) -> None:
            stops.append(stop)

    sources = [scripted([grey(9)] * 3) for _ in stills]
    for source, still in zip(sources, stills, strict=True):
        source.stills = still
    stop = threading.Event()
    cameras = [Camera(source) for source in sources]
    Pipeline(cameras, brightness(), [Window()], max_frames=most, stop=stop).run()
    assert stops == [stop] * lingers


def test_an_inline_sink_stops_the_loop(scripted: Make, brightness: Make) -> None:
    seen = Seen(error=Stop())
    with Camera(scripted(grey(i) for i in range(100))) as camera:
        summary = Pipeline(camera, brightness(), [seen]).run()
    assert (summary.frames, summary.failures, seen.closed) == (4, (), 1)


@pytest.mark.parametrize(
    ("live", "vanishes", "error"),
    [(True, True, DeviceError), (False, True, DeviceError), (False, False, None)],
)
def test_outputs_are_closed_and_the_summary_stands_however_it_ends(
    scripted: Make, brightness: Make, tmp_path: Path, live: bool, vanishes: bool, error: Any
) -> None:
    source = scripted([grey(9)] * 5, live=live, fps=50, vanishes=vanishes)
    path = tmp_path / "clip.mkv"
    with Camera(source) as camera:
        loop = Pipeline(camera, brightness(), [Recorder(path, fps=camera.fps)])
        if error is None:
            loop.run()
        else:
            with pytest.raises(error, match="stopped delivering frames"):
                loop.run()
    assert loop.summary.frames + loop.summary.dropped == 5
    assert loop.summary.frames > 0
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT) > 0, "it was closed"


def test_leaving_the_iterator_closes_the_outputs(scripted: Make, brightness: Make) -> None:
    seen = Seen()
    with Camera(scripted([grey(9)] * 5)) as camera:
        for answer in Pipeline(camera, brightness(), [seen]):
            assert answer.frame.index == 0
            break
    gc.collect()
    assert seen.closed == 1


def test_a_wrong_frame_is_one_sentence(scripted: Make, brightness: Make) -> None:
    seen = Seen()
    with (
        Camera(scripted([grey(1), np.zeros((4, 4), np.uint8)])) as camera,
        pytest.raises(UserError, match="expected .h, w, 3. BGR uint8"),
    ):
        Pipeline(camera, brightness(), [seen]).run()
    assert (len(seen.answers), seen.closed) == (1, 1)


def test_a_full_disk_stops_the_recorder_and_not_the_camera(
    scripted: Make, brightness: Make, full_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    with Camera(scripted([noise] * 80)) as camera, caplog.at_level(logging.WARNING):
        loop = Pipeline(camera, brightness(), [Recorder(full_disk / "clip.mkv", fps=30.0)])
        summary = loop.run()
    assert summary.frames == 80
    assert len(summary.failures) == 1
    assert "the recorder stopped: cannot write" in summary.failures[0]
    assert "the disk is full" in summary.failures[0]
    assert caplog.text.count("the disk is full") == 1
    assert "1 failed output" in str(summary)
    capture = cv2.VideoCapture(str(full_disk / "clip.mkv"))
    assert capture.read()[0], "what was written plays"


@pytest.mark.parametrize("films", [0, 1])
def test_a_slow_recorder_never_holds_up_a_live_camera(
    scripted: Make, brightness: Make, films: int
) -> None:
    """Not even when only one of several cameras is live."""
    answered, release = threading.Semaphore(0), threading.Event()

    class Stuck(Seen):
        inline = False

        def write(self, answer: Answer, picture: np.ndarray) -> None:
            assert release.wait(20), "the loop waited for this output"
            super().write(answer, picture)

    def frames() -> Iterator[np.ndarray]:
        for _ in range(20):
            yield grey(9)
            answered.acquire(timeout=20)

    stuck = Stuck(wants_overlay=True)
    sources = [scripted([grey(9)] * 20)] * films + [scripted(frames(), live=True, fps=1000)]
    loop = Pipeline([Camera(source) for source in sources], brightness(), [stuck])
    for number, answer in enumerate(loop, 1):
        if number == 20 * len(sources):
            release.set()
        if answer.frame.camera == films:
            answered.release()
    summary = loop.summary
    assert (summary.frames, summary.failures) == (20 * len(sources), ())
    assert summary.not_recorded >= summary.frames - QUEUED - 1
    assert len(stuck.answers) + summary.not_recorded == summary.frames


@pytest.mark.parametrize("beside", [False, True])
def test_a_slow_recorder_of_a_file_gets_every_frame(
    scripted: Make, brightness: Make, beside: bool
) -> None:
    """Also beside a live camera that it does not record."""

    class Slow(Seen):
        inline = False
        only_camera = 0

        def write(self, answer: Answer, picture: np.ndarray) -> None:
            time.sleep(0.003)
            super().write(answer, picture)

    slow = Slow()
    live = [Camera(scripted([grey(9)], live=True, fps=1000))] * beside
    film = Camera(scripted(grey(i) for i in range(60)))
    Pipeline([film, *live], brightness(), [slow]).run()
    assert [answer.frame.index for answer in slow.answers] == list(range(60))


def test_nothing_is_left_running_or_open(scripted: Make, brightness: Make, tmp_path: Path) -> None:
    def once() -> None:
        with Camera(scripted([grey(9)] * 3)) as camera:
            outputs = [Recorder(tmp_path / "c.mkv"), Events(tmp_path / "e.jsonl")]
            Pipeline(camera, brightness(), outputs).run()

    once()
    threads, descriptors = threading.active_count(), len(list(Path("/dev/fd").iterdir()))
    for _ in range(20):
        once()
    assert threading.active_count() <= threads  # one of an earlier test may end meanwhile
    assert len(list(Path("/dev/fd").iterdir())) == descriptors


def test_an_answer_is_frozen_and_timed(scripted: Make, brightness: Make) -> None:
    moments, answers, meter = [time.perf_counter()], [], Rate()
    with Camera(scripted((grey(i) for i in range(30)), live=True, fps=100)) as camera:
        for answer in Pipeline(camera, brightness(0.002)):
            moments += [answer.frame.captured + answer.age, time.perf_counter()]
            answers.append(answer)
    assert moments == sorted(moments), "age ends when the frame was classified"
    assert all(answer.age >= 0.002 for answer in answers)
    rates = [meter.tick(moment) for moment in moments[1::2]]
    assert [answer.fps for answer in answers] == pytest.approx(rates, rel=1e-6)
    assert answers[0].fps == 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        answers[0].age = 0.0


# Clocks.


@pytest.mark.parametrize(
    ("count", "median", "p95"), [(1, 1.0, 1.0), (101, 51.0, 96.0), (100_000, 50_000.0, 95_000.0)]
)
def test_a_clock_knows_the_whole_run_in_bounded_memory(
    count: int, median: float, p95: float
) -> None:
    clock = Clock()
    for value in range(1, count + 1):
        clock.add(value / 1000)
    tolerance = 0 if count < KEPT else 0.05
    assert clock.percentile_ms(50) == pytest.approx(median, rel=tolerance)
    assert clock.percentile_ms(95) == pytest.approx(p95, rel=tolerance)
    assert (clock.count, len(clock._kept)) == (count, min(count, KEPT))
    assert clock.total == pytest.approx(count * (count + 1) / 2000)


def test_adding_to_a_clock_costs_the_same_after_a_long_run() -> None:
    """Compare the minimum of many short runs; sorting on each call would cost ten times more."""

    durations = np.random.default_rng(0).random(2 * KEPT).tolist()

    def cost(clock: Clock) -> float:
        start = time.perf_counter()
        for seconds in durations[:20]:
            clock.add(seconds)
        return time.perf_counter() - start

    old = Clock()
    for seconds in durations:
        old.add(seconds)
    costs = [(cost(Clock()), cost(old)) for _ in range(200)]
    young, aged = (min(column) for column in zip(*costs, strict=True))
    assert aged < 5 * young


@pytest.mark.parametrize(
    ("times", "rate"),
    [
        ([0.0], 0.0),
        ([0.0, 0.0], 0.0),
        ([0.0, 0.5], 2.0),
        ([i / 10 for i in range(100)], 10.0),
        ([i / 10 for i in range(100)] + [10 + i / 50 for i in range(100)], 50.0),
        ([0.0, 5.0], 0.2),
        ([0.0, 0.5, 1.0, 1.5], 2.0),
        ([0.0, 0.25, 1.25], 1.0),  # exactly one second after the second tick
        ([0.0, 0.25, 1.0], 2.0),
        ([0.0, 0.1, 9.0], 1 / 8.9),
    ],
)
def test_the_rate_is_that_of_the_last_second(times: list[float], rate: float) -> None:
    meter = Rate()
    assert meter.last == 0
    for moment in times:
        assert meter.tick(moment) == meter.last
    assert meter.last == pytest.approx(rate, rel=0.03)
