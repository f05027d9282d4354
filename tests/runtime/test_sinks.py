from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgecat_runtime.errors import UserError
from edgecat_runtime.events import Events, event_from_answer
from edgecat_runtime.pipeline import Answer
from edgecat_runtime.sinks import BackgroundOutput, Output, Sink, Stop, output_from_sink

Answering = Callable[..., Answer]
PICTURE = np.zeros((48, 64, 3), np.uint8)


class Listing(Sink):
    """Keeps what it is given; slow, failing or closing on demand."""

    name = "the list"

    def __init__(
        self, *, seconds: float = 0.0, error: Exception | None = None, inline: bool = False
    ):
        self.inline = inline
        self.seconds, self.error = seconds, error
        self.indices: list[int] = []
        self.threads: set[str] = set()
        self.closed = 0

    def write(self, answer: Answer, picture: np.ndarray) -> None:
        time.sleep(self.seconds)
        self.threads.add(threading.current_thread().name)
        if self.error is not None and answer.frame.index == 2:
            raise self.error
        self.indices.append(answer.frame.index)

    def close(self) -> None:
        self.closed += 1
        if self.error is not None:
            raise OSError("closing failed too")


def _feed(output: Output, answer: Answering, count: int) -> float:
    start = time.perf_counter()
    for index in range(count):
        if output.wants(changed=True):
            output.write(answer(index), PICTURE)
    return time.perf_counter() - start


@pytest.mark.parametrize("inline", [False, True])
def test_a_sink_is_given_all_in_order_and_closed(answer: Answering, inline: bool) -> None:
    sink = Listing(inline=inline)
    output = output_from_sink(sink, wait=True)
    _feed(output, answer, 50)
    output.close()
    assert (sink.indices, sink.closed) == (list(range(50)), 1)
    assert (output.failure, output.dropped) == ("", 0)
    assert sink.threads == ({"MainThread"} if inline else {"edgecat the list"})


def test_a_slow_sink_of_a_live_source_drops_and_does_not_slow_the_loop(answer: Answering) -> None:
    sink = Listing(seconds=0.05)
    output = BackgroundOutput(sink, wait=False)
    assert _feed(output, answer, 40) < 0.5, "forty slow writes would take two seconds"
    output.close()
    assert output.dropped >= 30
    assert len(sink.indices) + output.dropped == 40


def test_a_slow_sink_of_a_file_is_waited_for(answer: Answering) -> None:
    sink = Listing(seconds=0.005)
    output = BackgroundOutput(sink, wait=True)
    _feed(output, answer, 30)
    output.close()
    assert sink.indices == list(range(30))


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            UserError("cannot write x: the disk is full"),
            "the list stopped: cannot write x: the disk",
        ),
        (ValueError(), "the list stopped: ValueError"),
    ],
)
def test_a_failing_sink_is_reported_once_and_harms_nobody(
    answer: Answering,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    sentence: str,
    inline: bool,
) -> None:
    sink = Listing(error=error, inline=inline)
    output = output_from_sink(sink, wait=True)
    with caplog.at_level(logging.WARNING):
        _feed(output, answer, 100)
        output.close()
    assert sentence in output.failure
    assert caplog.text.count("the list stopped") == 1
    assert (sink.indices, sink.closed) == ([0, 1], 1)


def test_only_an_inline_sink_can_stop_the_loop(answer: Answering) -> None:
    output = output_from_sink(Listing(error=Stop(), inline=True), wait=True)
    with pytest.raises(Stop):
        _feed(output, answer, 3)


def test_a_sink_may_ask_for_changes_only() -> None:
    sink = Listing(inline=True)
    sink.only_changes = True
    output = Output(sink)
    assert [output.wants(changed=changed) for changed in (True, False)] == [True, False]


# Events.


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
    [("file/events.jsonl", "a parent of it is a file"), ("folder", "it is a folder")],
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
