"""The outputs of the loop, on threads where they can neither slow nor break it."""

from __future__ import annotations

import logging
import queue
from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING

from edgecat_runtime.types import Image

if TYPE_CHECKING:
    from edgecat_runtime.camera.frames import StatusEvent
    from edgecat_runtime.loop.answers import Answer
    from edgecat_runtime.loop.running import Loop


log = logging.getLogger("edgecat_runtime")

QUEUED = 4
CLOSE_SECONDS = 10.0
SIGNAL_SECONDS = 0.1


class Stop(Exception):
    """Raised by an inline sink to end the loop: the user closed the window."""


class Sink:
    """Receives answers; subclass it and pass it to a `Pipeline`.

    The pipeline calls `write` and `close` on the sink's own thread, unless it is inline. An error
    in either is reported once and ends this sink, never the loop.

    Attributes:
        name: used in messages.
        wants_overlay: whether `write` needs the frame with its overlay.
        only_changes: whether to call `write` only for a camera's first answer (also the first one
            after a status event of its source) and when the label changes.
        inline: whether to call it on the loop's thread, where a slow `write` slows the loop.
        only_camera: index of the only camera whose answers it receives; None: all cameras.

    Example:
        >>> class Count(Sink):
        ...     number = 0
        ...     def write(self, answer, picture):
        ...         self.number += 1
    """

    name: str = "output"
    wants_overlay: bool = False
    only_changes: bool = False
    inline: bool = False
    only_camera: int | None = None

    def begin(self, loop: Loop) -> None:
        """Called once, on the loop's thread, before the first frame. Errors end the loop."""

    def write(self, answer: Answer, picture: Image) -> None:
        """Handle one answer.

        Args:
            answer: the answer for one frame.
            picture: uint8 (h, w, 3) BGR, shared by all sinks: do not modify it. It has the overlay
                if `wants_overlay`, else it is the frame itself.
        """
        raise NotImplementedError

    def signal(self, signal: StatusEvent) -> None:
        """Handle a status event of a source or of the loop: lost, back, stopped, ..."""

    def close(self) -> None:
        """Finish the output."""

    def linger(self, stop: Event) -> None:
        """After the last of some still images, wait until it was seen or `stop` is set."""


class Output:
    """A sink called on the loop's thread, its errors isolated from the loop.

    Attributes:
        sink: the sink.
        dropped: number of answers dropped because it was too slow.
        failure: message of the error that ended it; empty if there was none.
    """

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.dropped = 0
        self.failure = ""

    def wants(self, *, changed: bool, camera: int = 0) -> bool:
        """Whether the sink wants an answer of this camera that changed the label, or did not."""
        ours = self.sink.only_camera in (None, camera)
        return ours and not self.failure and (changed or not self.sink.only_changes)

    def write(self, answer: Answer, picture: Image) -> None:
        """Pass an answer to the sink; raises Stop when the sink does."""
        try:
            self.sink.write(answer, picture)
        except Stop:
            raise
        except Exception as error:
            self._fail(error)

    def signal(self, signal: StatusEvent) -> None:
        """Pass a status event to the sink, if it is about one of its cameras."""
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
    """A sink on its own thread, behind a short queue.

    Args:
        sink: called from that thread.
        wait: when the queue is full, wait (a file loses no frame) or drop (a live source goes on).
    """

    def __init__(self, sink: Sink, *, wait: bool) -> None:
        super().__init__(sink)
        self._wait = wait
        self._queue: queue.Queue[tuple[Answer, Image] | StatusEvent | None] = queue.Queue(QUEUED)
        self._thread = Thread(target=self._work, name=f"edgecat {sink.name}", daemon=True)
        self._thread.start()

    def write(self, answer: Answer, picture: Image) -> None:
        """Pass an answer to the thread."""
        try:
            self._queue.put((answer, picture), block=self._wait)
        except queue.Full:
            self.dropped += 1

    def signal(self, signal: StatusEvent) -> None:
        """Pass a status event to the thread; it is dropped if the sink is too slow."""
        with suppress(queue.Full):
            self._queue.put(signal, timeout=CLOSE_SECONDS if self._wait else SIGNAL_SECONDS)

    def close(self) -> None:
        """Let the sink finish its queue, and close it."""
        try:
            self._queue.put(None, timeout=CLOSE_SECONDS)
            self._thread.join(CLOSE_SECONDS)
        except queue.Full:
            pass
        if self._thread.is_alive():
            self._fail(TimeoutError(f"not finished {CLOSE_SECONDS:.0f} s after the end"))

    def _work(self) -> None:
        """Write until the queue is closed; after an error, only drain it."""
        while (item := self._queue.get()) is not None:
            if self.failure:
                continue
            if isinstance(item, tuple):
                super().write(*item)
            else:
                super().signal(item)
        super().close()


def output_from_sink(sink: Sink, wait: bool) -> Output:
    """Return the matching output for a sink; `wait` as in `BackgroundOutput`."""
    return Output(sink) if sink.inline else BackgroundOutput(sink, wait=wait)
