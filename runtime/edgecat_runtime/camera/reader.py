"""The thread that reads a source into one slot, and opens it again when it is lost."""

from __future__ import annotations

import atexit
import logging
import time
from collections import deque
from collections.abc import Callable
from threading import Condition, Thread
from time import perf_counter
from typing import Literal
from weakref import WeakSet

from edgecat_runtime.camera.frames import Fitted, Frame, StatusEvent
from edgecat_runtime.camera.freezing import Freeze
from edgecat_runtime.camera.recovery import Recovery, Reopen
from edgecat_runtime.camera.source import Shot, Source, SourceOptions
from edgecat_runtime.camera.view import View
from edgecat_runtime.errors import DeviceError, UserError
from edgecat_runtime.model.status import Status
from edgecat_runtime.system.clocks import Clock
from edgecat_runtime.types import Image

log = logging.getLogger("edgecat_runtime")

_Change = Literal["lost", "back", "switched", "frozen", "moving"]
_ABANDONED = 2  # hung threads after which no other is started
_CLOSE_SECONDS = 2.0  # a hung driver must not hang the program
_running: WeakSet[Reader] = WeakSet()


class Reader:
    """Reads a source in a thread: every frame of a file, the newest of a live source.

    A live source overwrites the slot, and what was overwritten is counted as dropped. A file waits
    until the slot is free. A thread that hangs in a driver is left to itself, and another one
    opens the source again.

    Args:
        source: the source to read.
        reopen: reopens it; None: its loss is an error.
        options: rotation, flip and region of interest of its images, and the stall timeout.
        give_up: seconds without a frame after which a loss is an error; None: never.

    Attributes:
        source: the current source.
        number: index of the camera among several.
        changed: notified with every frame; hold it to read or call any of this from outside.
        slot: the frame not taken yet.
        error: the error that ended the reading.
        closed: whether it was ended from outside.
        recovery: the state of the source.
        signals: its status events not consumed yet, oldest first.
        clock: durations of the source's `read`.
        fit: as for the camera.
        freeze: whether it delivers one image again and again.
    """

    def __init__(
        self,
        source: Source,
        reopen: Reopen | None,
        options: SourceOptions,
        give_up: float | None,
    ) -> None:
        self.source = source
        self.number = 0
        self.changed = Condition()
        self.slot: Frame | None = None
        self.error: Exception | None = None
        self.closed = False
        self.signals: deque[StatusEvent] = deque(maxlen=64)
        self.clock = Clock()
        self.fit: Callable[[Image], Fitted] | None = None
        self.freeze = Freeze(options.frozen)
        self.recovery = Recovery(
            reopen if source.live and source.reopens else None,
            stall=options.stall,
            give_up=give_up,
            tell=self._note,
        )
        self._options = options
        self._view = View(options.rotate, options.flip, options.roi)
        self._count = self._dropped = self._skipped = 0  # the latter two: of previous sources
        self._turn = 0
        self._thread: Thread | None = None
        self._abandoned: list[Thread] = []

    @property
    def started(self) -> bool:
        """Whether the source is or was being read."""
        return self._thread is not None

    @property
    def dropped(self) -> int:
        """Frames of a live source that were overwritten unread."""
        return self._dropped + self.source.dropped

    @property
    def skipped(self) -> int:
        """Frames that could not be decoded."""
        return self._skipped + self.source.skipped

    def start(self, source: Source | None) -> None:
        """Start a thread; frames of an older one are ignored from now on.

        Args:
            source: what to read; None: reopen it first.
        """
        self._turn += 1
        self.recovery.wait()
        _running.add(self)
        self._thread = Thread(
            target=self._capture, args=(source, self._turn), name="edgecat-camera", daemon=True
        )
        self._thread.start()

    def check(self) -> None:
        """Handle a source that stalls or is lost for too long."""
        now = perf_counter()
        if self.recovery.is_hopeless(now):
            self._end(self._turn, self.recovery.final_error)
        elif self.recovery.is_stalled(now):
            self._abandon()

    def switch(self, source: Source, reopen: Reopen) -> None:
        """Switch to another source; the previous one is closed without waiting for it."""
        with self.changed:
            if self.closed:
                source.close()
                return
            before, started = self.source, self.started
            self._count_gone(before)
            self.source, self.slot, self.error = source, None, None
            self.recovery.replace(reopen if source.live and source.reopens else None)
            self.freeze = Freeze(self._options.frozen)
            self._note("switched", f"the previous source was {before.name}")
            if started:
                self.start(source)
            self.changed.notify_all()
        if started:
            before.cancel()  # its thread closes it
        else:
            before.close()

    def close(self, wait: float = _CLOSE_SECONDS) -> None:
        """Stop reading and close the source; calling it twice is harmless.

        Args:
            wait: seconds for its thread to end.
        """
        with self.changed:
            if self.closed:
                return
            self.closed = True
            self.recovery.state = Status.ENDED
            self.changed.notify_all()
        if self._thread is None:
            self.source.close()
        else:
            self.source.cancel()
            self.join(wait)

    def join(self, seconds: float) -> None:
        """Wait for the thread of a closed reader."""
        if self._thread is not None:
            self._thread.join(seconds)

    # In the thread.

    def _capture(self, source: Source | None, turn: int) -> None:
        """Read the source, reopening it if possible, until it ends for good."""
        error: Exception | None = None
        try:
            while self._is_current(turn):
                try:
                    source = source or self._open_again(turn)
                    self._read_out(source, turn)
                    break
                except UserError:
                    raise
                except Exception as loss:
                    if not self.recovery.retries:
                        raise
                    gone, source = source, None
                    _close(gone)
                    self._pause(loss, turn)
        except Exception as fatal:
            error = fatal  # re-raised by the reader
        finally:
            _close(source)
            with self.changed:
                self._end(turn, error)

    def _open_again(self, turn: int) -> Source:
        source = self.recovery.reopen()
        with self.changed:
            if self._is_current(turn):
                self._count_gone(self.source)
                self.source = source
                self.recovery.wait()
        return source

    def _read_out(self, source: Source, turn: int) -> None:
        while self._is_current(turn):
            start = perf_counter()
            shot = source.read()
            if shot is None:
                return
            self.clock.add(perf_counter() - start)
            self._hand_over(shot, turn)

    def _hand_over(self, shot: Shot, turn: int) -> None:
        now = perf_counter()
        image = self._view(shot.image)
        fitted = None if self.fit is None or self.source.live else self.fit(image)
        with self.changed:
            if not self._is_current(turn):
                return
            name, number = self.source.name, self.number
            frame = Frame(image, self._count, now, time.time(), shot.name, name, number, fitted)
            self._count += 1
            self.recovery.alive(name, now)
            if self.source.may_freeze and (change := self.freeze.see(shot.image, now)):
                log.warning("%s: %s", name, change.reason)
                self._note(*change)
            if not self.source.live:
                self.changed.wait_for(lambda: self.slot is None or not self._is_current(turn))
                if not self._is_current(turn):
                    return
            elif self.slot is not None:
                self._dropped += 1
            self.slot = frame
            self.changed.notify_all()

    def _is_current(self, turn: int) -> bool:
        return turn == self._turn and not self.closed

    def _pause(self, loss: Exception, turn: int) -> None:
        """Wait before the next attempt."""
        with self.changed:
            if not self._is_current(turn):
                return
            self.recovery.lose(loss)
            self.changed.wait_for(lambda: not self._is_current(turn), self.recovery.pause())

    # The condition is held.

    def _abandon(self) -> None:
        """Abandon a thread that hangs in its driver, and start another."""
        self.recovery.wait()
        stall = self._options.stall
        self.recovery.lose(
            DeviceError(f"{self.source.name} has delivered no frame for {stall:g} s")
        )
        self._abandoned = [thread for thread in self._abandoned if thread.is_alive()]
        if self._thread is not None and len(self._abandoned) < _ABANDONED:
            self.source.cancel()
            self._abandoned.append(self._thread)
            self.start(None)

    def _end(self, turn: int, error: Exception | None) -> None:
        if turn == self._turn:
            self._turn += 1
            self.error = error
            self.recovery.state = Status.ENDED
            self.changed.notify_all()

    def _count_gone(self, source: Source) -> None:
        self._dropped += source.dropped
        self._skipped += source.skipped

    def _note(self, state: _Change, reason: str, seconds: float = 0.0) -> None:
        name = self.source.name
        self.signals.append(StatusEvent(state, name, self.number, time.time(), reason, seconds))


def _close(source: Source | None) -> None:
    """Close a source; errors are ignored, since it has ended anyway."""
    try:
        if source is not None:
            source.close()
    except Exception as error:
        log.debug("%s could not be closed: %s", source.name if source else "", error)


@atexit.register
def _close_all() -> None:
    """Close cameras that were left open: a thread that is still in C++ at the end aborts Python."""
    readers = list(_running)
    for reader in readers:
        reader.close(wait=0)
    for reader in readers:
        reader.join(_CLOSE_SECONDS)
