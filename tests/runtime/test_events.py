"""Events: what is told of a run, and the file that keeps it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.camera.frames import StatusEvent
from edgecat_runtime.camera.opening import register_source
from edgecat_runtime.classifier import Classifier
from edgecat_runtime.errors import DeviceError, UserError
from edgecat_runtime.loop.answers import Answer
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.outputs.events import (
    Events,
    event_from_answer,
    event_from_signal,
    json_from_event,
)
from edgecat_runtime.outputs.sink import Sink
from edgecat_runtime.outputs.snapshots import Snapshots
from edgecat_runtime.pipeline import Pipeline

Answering = Callable[..., Answer]
Make = Callable[..., Any]
PICTURE = np.zeros((48, 64, 3), np.uint8)
ROUNDED = 0.002  # timestamps are rounded to milliseconds


def lit(level: int, count: int = 6) -> Iterator[np.ndarray]:
    return (np.full((48, 64, 3), level, np.uint8) for _ in range(count))


def moment(event: dict[str, Any]) -> float:
    """The event's time in seconds since the epoch."""
    return datetime.fromisoformat(event["time"].replace("Z", "+00:00")).timestamp()


def steps(path: Path) -> list[tuple[str, str, str]]:
    """What happened, from where, to where; and what every event says."""
    events = [json.loads(line) for line in path.read_text().splitlines()]
    for event in events:
        assert list(event)[:8] == [
            "time",
            "event",
            "source",
            "camera",
            "from",
            "to",
            "confidence",
            "age",
        ]
        assert (event["confidence"] > 0) == (event["to"] in ("dark", "bright"))
        assert event["to"] == "waiting" or event["age"] > 0
        began = moment(event) if event["event"] == "label" else moment(events[0])
        assert began + event["age"] <= time.time() + ROUNDED, "no frame is older than the run"
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)
    return [(event["event"], event["from"], event["to"]) for event in events]


def last(path: Path, kind: str) -> dict[str, Any]:
    events = [json.loads(line) for line in path.read_text().splitlines()]
    return [event for event in events if event["event"] == kind][-1]


START = [("started", "stopped", "waiting"), ("label", "waiting", "dark")]
END = [("stopped", "dark", "stopped")]


def test_doubt_is_a_state(scripted: Make, brightness: Make, tmp_path: Path) -> None:
    frames = [*lit(10), *lit(127, 20), *lit(240)]
    with Camera(scripted(frames)) as camera:
        Pipeline(camera, brightness(), [Events(tmp_path / "e")]).run()
    assert steps(tmp_path / "e") == [
        *START,
        ("label", "dark", "unsure"),
        ("label", "unsure", "bright"),
        ("stopped", "bright", "stopped"),
    ]


def test_a_loss_and_what_comes_after_it(scripted: Make, brightness: Make, tmp_path: Path) -> None:
    def until_answered() -> Iterator[np.ndarray]:
        """Lose the first source only after one of its frames was classified."""
        yield from lit(10)
        while '"label"' not in (tmp_path / "e").read_text():
            time.sleep(0.01)

    sources = iter(
        [
            scripted(until_answered(), live=True, fps=100, vanishes=True),
            scripted(lit(10), live=True, fps=100),
        ]
    )
    with Camera(next(sources), reopen=lambda: next(sources)) as camera:
        Pipeline(camera, brightness(), [Events(tmp_path / "e")]).run()
    assert steps(tmp_path / "e") == [
        *START,
        ("lost", "dark", "no signal"),
        ("back", "no signal", "waiting"),
        ("label", "waiting", "dark"),
        *END,
    ]
    assert last(tmp_path / "e", "lost")["reason"] == "the scripted camera stopped delivering frames"


def test_a_switch_of_the_source(scripted: Make, brightness: Make, tmp_path: Path) -> None:
    def bright(text: str, options: Any) -> Any:
        source = scripted(lit(240))
        source.name = text
        return source

    register_source("bright", bright)
    with Camera(scripted(lit(10, 1000))) as camera:
        loop = Pipeline(camera, brightness(), [Events(tmp_path / "e")])
        for answer in loop:
            if answer.frame.index == 5:
                camera.switch("bright:yard")
    assert steps(tmp_path / "e") == [
        *START,
        ("switched", "dark", "waiting"),
        ("label", "waiting", "bright"),
        ("stopped", "bright", "stopped"),
    ]
    switched = last(tmp_path / "e", "switched")
    assert switched["source"] == "bright:yard"
    assert switched["reason"] == "the previous source was the scripted camera"
    assert last(tmp_path / "e", "label")["smoothed"]["bright"] > 0.99, "no frame of before counts"


def test_an_engine_that_was_opened_again(
    scripted: Make, brightness: Make, tiny_card: ModelCard, tmp_path: Path
) -> None:
    class Broken:
        name = "broken"
        left = 3

        def infer(self, frames: np.ndarray) -> np.ndarray:
            self.left -= 1
            if not self.left:
                raise RuntimeError("CUDA error 719")
            return np.tile(np.float32([4, -4]), (len(frames), 1))

        def close(self) -> None:
            pass

    card = replace(tiny_card, labels=("dark", "bright"))
    loop = Pipeline(
        Camera(scripted(lit(10))),
        Classifier(Broken(), card),
        [Events(tmp_path / "e")],
        reopen=brightness,
    )
    loop.run()
    events = [json.loads(line) for line in (tmp_path / "e").read_text().splitlines()]
    assert [(event["event"], event["from"], event["to"]) for event in events] == [
        *START,
        ("reopened", "dark", "dark"),
        *END,
    ]
    assert events[2]["reason"] == "the engine failed: CUDA error 719"


@pytest.mark.parametrize(
    ("options", "vanishes", "reason"),
    [
        ({}, False, "the source ended"),
        ({"max_frames": 3}, False, "3 frames were classified"),
        ({}, True, "the scripted camera stopped delivering frames"),
    ],
)
def test_the_last_event_says_why(
    scripted: Make,
    brightness: Make,
    tmp_path: Path,
    options: dict[str, int],
    vanishes: bool,
    reason: str,
) -> None:
    with Camera(scripted(lit(10), vanishes=vanishes)) as camera:
        loop = Pipeline(camera, brightness(), [Events(tmp_path / "e")], **options)
        try:
            loop.run()
        except DeviceError:
            assert vanishes
    assert steps(tmp_path / "e") == START + END
    assert last(tmp_path / "e", "stopped")["reason"] == reason


def test_a_full_disk_stops_the_outputs_on_it_and_not_the_camera(
    scripted: Make, brightness: Make, full_disk: Path, tmp_path: Path
) -> None:
    outputs = [Events(full_disk / "e"), Snapshots(full_disk / "shots"), Events(tmp_path / "e")]
    with pytest.raises(OSError, match="No space left"):
        (full_disk / "filler").write_bytes(bytes(2_000_000))
    frames = [image for level in (10, 240) * 10 for image in lit(level, 1)]
    with Camera(scripted(frames)) as camera:
        summary = Pipeline(camera, brightness(), outputs, smooth=False).run()
    assert summary.frames == 20
    assert sorted(text.split(" stopped: ")[0] for text in summary.failures) == [
        "the events file",
        "the snapshots",
    ]
    assert all("the disk is full" in text for text in summary.failures)
    assert len(steps(tmp_path / "e")) == 22


def test_a_sink_of_one_camera_hears_of_that_one(scripted: Make, brightness: Make) -> None:
    class Hearing(Sink):
        inline = True
        only_camera = 1

        def __init__(self) -> None:
            self.heard: list[tuple[str, int]] = []

        def write(self, answer: Answer, picture: np.ndarray) -> None:
            pass

        def signal(self, signal: StatusEvent) -> None:
            self.heard.append((signal.state, signal.camera))

    sink = Hearing()
    Pipeline([Camera(scripted(lit(10))) for _ in range(2)], brightness(), [sink]).run()
    assert sink.heard == [("started", 1), ("stopped", 1)]


def test_news_say_what_when_and_why() -> None:
    signal = StatusEvent("lost", "yard", 2, 1.5, "no route", previous_label="cat", age=0.25)
    assert event_from_signal(signal) == {
        "time": "1970-01-01T00:00:01.500Z",
        "event": "lost",
        "source": "yard",
        "camera": 2,
        "from": "cat",
        "to": "no signal",
        "confidence": 0.0,
        "age": 0.25,
        "reason": "no route",
    }
    assert "reason" not in event_from_signal(replace(signal, reason=""))


def test_an_answer_with_no_numbers_is_json_all_the_same(answer: Answering) -> None:
    given = answer()
    broken = replace(given.raw, confidence=math.nan, probabilities={"cat": math.nan, "dog": 0.5})
    line = json_from_event(event_from_answer(replace(given, raw=broken, smoothed=broken)))
    event = json.loads(line, parse_constant=pytest.fail)
    assert (event["confidence"], event["raw"]["cat"]) == (None, None)


# The file.


def test_an_event_says_what_when_and_how_sure(answer: Answering) -> None:
    event = event_from_answer(answer(7, seconds=1.5, name="photos/1.jpg"))
    assert event == {
        "time": "1970-01-01T00:00:01.500Z",
        "event": "label",
        "source": "",
        "camera": 0,
        "from": "waiting",
        "to": "dog",
        "confidence": 0.75,
        "age": 0.01,
        "frame": 7,
        "raw": {"dog": 0.75, "cat": 0.25},
        "smoothed": {"dog": 0.75, "cat": 0.25},
        "picture": "photos/1.jpg",
    }
    assert "picture" not in event_from_answer(answer())


def test_an_event_lists_the_five_most_probable_classes(answer: Answering) -> None:
    given = answer()
    shares = dict(zip("abcdefg", (0.05, 0.3, 0.01, 0.2, 0.04, 0.25, 0.15), strict=True))
    many = replace(given.raw, label="b", probabilities=shares)
    event = event_from_answer(replace(given, raw=many, smoothed=many))
    assert list(event["raw"].items()) == [
        ("b", 0.3),
        ("f", 0.25),
        ("d", 0.2),
        ("g", 0.15),
        ("a", 0.05),
    ]
    assert event["smoothed"] == event["raw"]


def test_lines_are_utf_8_even_for_undecodable_file_names(answer: Answering) -> None:
    given = answer(
        label="cat", name="photos/\udcff.jpg"
    )  # how Python represents an undecodable byte
    event = event_from_answer(replace(given, previous_label="Kätzchen 猫"))
    line = json_from_event(event)
    assert "Kätzchen 猫".encode() in line
    assert json.loads(line)["picture"] == "photos/?.jpg"


def test_events_are_lines_that_are_there_at_once(answer: Answering, tmp_path: Path) -> None:
    path = tmp_path / "new" / "events.jsonl"
    events = Events(path)
    for index in range(3):
        events.write(answer(index), PICTURE)
        lines = path.read_text().splitlines()
        assert [json.loads(line)["frame"] for line in lines] == list(range(index + 1))
    events.close()


@pytest.mark.parametrize(
    ("before", "kept"), [("", 0), ('{"frame": 9}\n', 1), ('{"frame": 9}\n{"fra', 2)]
)
def test_events_are_added_to_a_file(
    answer: Answering, tmp_path: Path, before: str, kept: int
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(before)
    events = Events(path)
    events.write(answer(4), PICTURE)
    events.close()
    lines = path.read_text().splitlines()
    assert len(lines) == kept + 1
    assert json.loads(lines[-1])["frame"] == 4, "also behind half a line"


@pytest.mark.parametrize(
    ("place", "sentence"),
    [("file/events.jsonl", "a parent of the path is a file"), ("folder", "it is a folder")],
)
def test_events_that_cannot_be_written_are_refused(
    tmp_path: Path, place: str, sentence: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=sentence):
        Events(tmp_path / place)


def test_a_full_disk_ends_the_events_with_a_sentence(answer: Answering, full_disk: Path) -> None:
    events = Events(full_disk / "events.jsonl")
    (full_disk / "filler").write_bytes(bytes(1_000_000))
    with pytest.raises(UserError, match=r"events\.jsonl: the disk is full"):
        for index in range(10_000):
            events.write(answer(index), PICTURE)
    events.close()
