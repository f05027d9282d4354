from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from edgecat_runtime.camera.frames import StatusEvent
from edgecat_runtime.errors import UserError
from edgecat_runtime.loop.answers import Answer
from edgecat_runtime.outputs import sink as sinks
from edgecat_runtime.outputs.sink import (
    QUEUED,
    BackgroundOutput,
    Output,
    Sink,
    Stop,
    output_from_sink,
)

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


def _feed(output: Output, answer: Answering, count: int) -> None:
    for index in range(count):
        if output.wants(changed=True):
            output.write(answer(index), PICTURE)


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
    class Stuck(Listing):
        def write(self, answer: Answer, picture: np.ndarray) -> None:
            assert fed.wait(20), "the loop waited"
            super().write(answer, picture)

    sink, fed = Stuck(), threading.Event()
    output = BackgroundOutput(sink, wait=False)
    _feed(output, answer, 40)
    fed.set()
    output.close()
    assert output.failure == ""
    assert 40 - QUEUED - 1 <= output.dropped <= 40 - QUEUED
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


NEWS = StatusEvent("lost", "yard", 0, 0.0, "no route")


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize("where", ["signal", "close"])
def test_errors_in_signal_and_close_are_reported(
    answer: Answering, where: str, inline: bool
) -> None:
    class Failing(Listing):
        def signal(self, signal: StatusEvent) -> None:
            self.fail("signal")

        def close(self) -> None:
            self.fail("close")

        def fail(self, here: str) -> None:
            if here == where:
                raise UserError(f"{here} failed")

    sink = Failing(inline=inline)
    output = output_from_sink(sink, wait=True)
    output.write(answer(0), PICTURE)
    output.signal(NEWS)
    output.close()
    assert output.failure == f"the list stopped: {where} failed"
    assert sink.indices == [0]


def test_a_sink_that_does_not_finish_is_reported(
    answer: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Endless(Listing):
        def close(self) -> None:
            release.wait(20)

    monkeypatch.setattr(sinks, "CLOSE_SECONDS", 0.2)
    release = threading.Event()
    output = BackgroundOutput(Endless(), wait=True)
    output.close()
    release.set()
    assert output.failure == "the list stopped: not finished 0 s after the end"


@pytest.mark.parametrize("wait", [True, False])
def test_signals_wait_for_a_slow_sink_of_a_file_only(answer: Answering, wait: bool) -> None:
    class Stuck(Listing):
        def write(self, answer: Answer, picture: np.ndarray) -> None:
            assert release.wait(20)

        def signal(self, signal: StatusEvent) -> None:
            self.indices.append(-1)

    sink, release = Stuck(), threading.Event()
    output = BackgroundOutput(sink, wait=wait)
    output.write(answer(0), PICTURE)
    while not output._queue.empty():
        time.sleep(0.001)
    for index in range(QUEUED):
        output.write(answer(index), PICTURE)  # the queue is full now
    if wait:
        threading.Timer(0.3, release.set).start()
    output.signal(NEWS)
    release.set()
    output.close()
    assert sink.indices == [-1] * wait


def test_only_an_inline_sink_can_stop_the_loop(answer: Answering) -> None:
    output = output_from_sink(Listing(error=Stop(), inline=True), wait=True)
    with pytest.raises(Stop):
        _feed(output, answer, 3)


def test_a_sink_may_ask_for_changes_only() -> None:
    sink = Listing(inline=True)
    sink.only_changes = True
    output = Output(sink)
    assert [output.wants(changed=changed) for changed in (True, False)] == [True, False]
