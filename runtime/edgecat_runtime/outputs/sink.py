"""What takes answers, and the threads in which it cannot slow the loop or break it."""

from __future__ import annotations

import logging
import queue
from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING

from edgecat_runtime.types import Image

if TYPE_CHECKING:
    from edgecat_runtime.camera.frames import Signal
    from edgecat_runtime.loop.answers import Answer
    from edgecat_runtime.loop.running import Loop


log = logging.getLogger("edgecat_runtime")

QUEUED = 4
CLOSE_SECONDS = 10.0
SIGNAL_SECONDS = 0.1


class Stop(Exception):
    """Raised by an inline sink to end the loop: the user closed the window."""


class Sink:
    """Takes answers; subclass it and give it to a `Pipeline`.

    The pipeline calls `write` and `close` from a thread of the sink's own, unless it is inline. An
    error that either raises is reported once and ends this sink, never the loop.

    Attributes:
        name: for sentences.
        wants_picture: whether `write` needs the frame with its overlay.
        only_changes: whether to call `write` only for a camera's first answer (also the first one
            after news of its source) and for a new label.
        inline: whether to call it in the loop's own thread, where a slow `write` slows the loop.
        only_camera: number of the only camera whose answers it is given; None: those of all.
    """

    name: str = "output"
    wants_picture: bool = False
    only_changes: bool = False
    inline: bool = False
    only_camera: int | None = None

    def begin(self, loop: Loop) -> None:
        """Be told of the loop, in its own thread, before its first frame; may raise."""

    def write(self, answer: Answer, picture: Image) -> None:
        """Take one answer.

        Args:
            answer: to one frame.
            picture: uint8 (h, w, 3) BGR, shared by all sinks: not to be changed. It has the overlay
                where `wants_picture`, else it is the frame itself.
        """
        raise NotImplementedError

    def signal(self, signal: Signal) -> None:
        """Take news of a source or of the loop: lost, back, stopped, ..."""

    def close(self) -> None:
        """Finish what was written."""

    def linger(self, stop: Event) -> None:
        """Stay, after the last of some pictures, until it was seen or `stop` is set."""


class Output:
    """A sink in the loop: called where the loop runs, its errors kept from it.

    Attributes:
        sink: what takes the answers.
        dropped: answers that it was too slow for.
        failure: the sentence about the error that ended it; empty while all is well.
    """

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.dropped = 0
        self.failure = ""

    def wants(self, *, changed: bool, camera: int = 0) -> bool:
        """Whether an answer to a camera's frame, which changed the label or not, is for this."""
        ours = self.sink.only_camera in (None, camera)
        return ours and not self.failure and (changed or not self.sink.only_changes)

    def write(self, answer: Answer, picture: Image) -> None:
        """Give the sink an answer; raises Stop when the sink does."""
        try:
            self.sink.write(answer, picture)
        except Stop:
            raise
        except Exception as error:
            self._fail(error)

    def signal(self, signal: Signal) -> None:
        """Tell the sink the news, where they are of a camera of its own."""
        if self.failure or self.sink.only_camera not in (None, signal.camera):
            return
        try:
            self.sink.signal(signal)
        except Exception as error:
            self._fail(error)

    def close(self) -> None:
        """Close the sink."""
        try:
            self.sink.close()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if not self.failure:
            self.failure = f"{self.sink.name} stopped: {str(error) or type(error).__name__}"
            log.error("%s", self.failure)


class BackgroundOutput(Output):
    """A sink in a thread of its own, behind a short queue.

    Args:
        sink: called from that thread.
        wait: when the queue is full, wait (a file loses no frame) or drop (a live source goes on).
    """

    def __init__(self, sink: Sink, *, wait: bool) -> None:
        super().__init__(sink)
        self._wait = wait
        self._queue: queue.Queue[tuple[Answer, Image] | Signal | None] = queue.Queue(QUEUED)
        self._thread = Thread(target=self._work, name=f"edgecat {sink.name}", daemon=True)
        self._thread.start()

    def write(self, answer: Answer, picture: Image) -> None:
        """Hand an answer over to the thread."""
        try:
            self._queue.put((answer, picture), block=self._wait)
        except queue.Full:
            self.dropped += 1

    def signal(self, signal: Signal) -> None:
        """Hand the news over to the thread; a sink that is too slow for it goes without."""
        with suppress(queue.Full):
            self._queue.put(signal, timeout=CLOSE_SECONDS if self._wait else SIGNAL_SECONDS)

    def close(self) -> None:
        """Let the sink finish what it was given, and close it."""
        try:
            self._queue.put(None, timeout=CLOSE_SECONDS)
            self._thread.join(CLOSE_SECONDS)
        except queue.Full:
            pass
        if self._thread.is_alive():
            self._fail(TimeoutError(f"it was not finished {CLOSE_SECONDS:.0f} s after the end"))

    def _work(self) -> None:
        """Write until the queue is closed; after an error only empty it."""
        while (item := self._queue.get()) is not None:
            if self.failure:
                continue
            if isinstance(item, tuple):
                super().write(*item)
            else:
                super().signal(item)
        super().close()


def output_from_sink(sink: Sink, wait: bool) -> Output:
    """Return the output that suits a sink; `wait` as in `BackgroundOutput`."""
    return Output(sink) if sink.inline else BackgroundOutput(sink, wait=wait)
