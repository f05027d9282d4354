"""The camera: frames of any source, every one of a file and the newest of a live one."""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Condition, Thread
from time import perf_counter
from types import TracebackType
from typing import Literal

from edgecat_runtime.camera.frames import Fitted, Frame, Signal
from edgecat_runtime.camera.opening import open_source, register_source
from edgecat_runtime.camera.source import NO_OPTIONS, Shot, Source, SourceOptions, redacted
from edgecat_runtime.camera.view import View
from edgecat_runtime.errors import DeviceError, UserError
from edgecat_runtime.system.clocks import Clock
from edgecat_runtime.types import Image

__all__ = [
    "Camera",
    "Frame",
    "Shot",
    "Signal",
    "Source",
    "SourceOptions",
    "open_source",
    "register_source",
]

log = logging.getLogger("edgecat_runtime")

State = Literal["waiting", "live", "no signal", "ended"]

_POLL_SECONDS = 0.2
_GRACE_SECONDS = 0.5  # a source's own timeout comes before the camera's
_LONGEST_PAUSE = 0.5
_ABANDONED = 2  # threads that may hang in a driver before no other is started


class Camera:
    """A source with its capture thread and one slot; there is no queue that could grow old.

    A live source overwrites the slot, and what was overwritten is counted as dropped. A file waits
    until the slot is free, so no frame is lost, and the next is decoded while this one is answered.

    A live source that can be opened again survives its loss: when it fails, or gives no frame for
    `options.stall` seconds, it is opened anew until it is back, with pauses of at most half a
    second. A thread that hangs in a driver is left to itself.

    Args:
        source: what is read.
        reopen: opens it again; None: its loss is an error.
        options: how its pictures are looked at, and what counts as a stall.
        give_up: seconds without a frame after which a loss is an error; None never.

    Attributes:
        source: what is read now.
        number: of this camera among several.
        state: `waiting` for the first frame, `live`, `no signal` or `ended`.
        losses: how often a source that had given frames was lost.
        signals: what happened to the source and nobody has taken yet; the oldest first.
        clock: durations of the source's `read`.
        fit: fits each frame of a file to a network while the one before is answered; None: not. A
            live frame may never be answered, so it is fitted when it is.

    Example:
        >>> with Camera.open("clip.mp4") as camera:  # doctest: +SKIP
        ...     for frame in camera:
        ...         print(frame.index, frame.image.shape)
    """

    def __init__(
        self,
        source: Source,
        *,
        reopen: Callable[[], Source] | None = None,
        options: SourceOptions = NO_OPTIONS,
        give_up: float | None = None,
    ) -> None:
        self.source = source
        self.number = 0
        self.state: State = "waiting"
        self.losses = 0
        self.signals: deque[Signal] = deque(maxlen=64)
        self.clock = Clock()
        self.fit: Callable[[Image], Fitted] | None = None
        self._reopen = reopen if source.live and source.reopens else None
        self._options = options
        self._stall = options.stall
        self._view = View(options.rotate, options.flip, options.roi)
        self._give_up = give_up
        self._slot: Frame | None = None
        self._count = self._dropped = self._gone_dropped = self._gone_skipped = 0
        self._closed = False
        self._error: Exception | None = None
        self._reason: Exception | None = None
        self._lost_at = 0.0
        self._tries = 0
        self._since = 0.0  # the last sign of life: a frame, or an attempt to open
        self._turn = 0
        self._thread: Thread | None = None
        self._abandoned: list[Thread] = []
        self._changed = Condition()

    @classmethod
    def open(
        cls,
        source: str | int | Path | Source,
        *,
        options: SourceOptions = NO_OPTIONS,
        give_up: float | None = None,
        wait: bool = False,
    ) -> Camera:
        """Open a source, by its text (see `open_source`, also for what it raises) or itself.

        Args:
            source: a live one that is named by a text is opened again when it is lost.
            options: how to open it.
            give_up: as for the camera.
            wait: whether a source that is not there yet is waited for as one that was lost.
        """
        if isinstance(source, Source):
            return cls(source, options=options, give_up=give_up)
        reopen = partial(open_source, source, options)
        try:
            opened = reopen()
        except DeviceError as error:
            if not wait:
                raise
            opened = _Absent(redacted(str(source)), error)
        return cls(opened, reopen=reopen, options=options, give_up=give_up)

    @property
    def fps(self) -> float:
        """The constant frame rate; 0 of a live source, whose frames come when they come."""
        return 0.0 if self.source.live else self.source.fps or 25.0

    @property
    def dropped(self) -> int:
        """Frames of a live source that came and went unread."""
        return self._dropped + self._gone_dropped + self.source.dropped

    @property
    def skipped(self) -> int:
        """Frames that could not be decoded."""
        return self._gone_skipped + self.source.skipped

    def read(self, timeout: float | None = None) -> Frame | None:
        """Return the next frame, of a live source the newest; None at the end.

        The first call starts capturing, so frames do not pass while a model is being loaded.

        Args:
            timeout: seconds to wait; None waits as long as it takes.

        Raises:
            TimeoutError: no frame came in time.
            DeviceError: a live source has vanished, for good or for longer than `give_up`; frames
                that came before are given first.
            UserError: a file holds nothing that can be read.
        """
        frames = read_newest([self], self._changed, timeout)
        return frames[0] if frames else None

    def __iter__(self) -> Iterator[Frame]:
        while (frame := self.read()) is not None:
            yield frame

    def switch(self, source: str) -> None:
        """Read another source from now on; may be called from any thread.

        Raises:
            UserError, DeviceError: as `open_source` does; the old source stays.
        """
        reopen = partial(open_source, source, self._options)
        opened = reopen()
        with self._changed:
            if self._closed:
                opened.close()
                return
            before, started = self.source, self._thread is not None
            self._gone_dropped += before.dropped
            self._gone_skipped += before.skipped
            self.source, self._slot, self._error = opened, None, None
            self._reopen = reopen if opened.live and opened.reopens else None
            self.state, self._lost_at, self._tries = "waiting", 0.0, 0
            self._note("switched", f"{before.name} was watched before")
            if started:
                self._start(opened)
            self._changed.notify_all()
        if started:
            before.cancel()  # its thread closes it
        else:
            before.close()

    def close(self) -> None:
        """Stop capturing and close the source; calling it twice is harmless."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self.state = "ended"
            self._changed.notify_all()
        if self._thread is None:
            self.source.close()
        else:
            self.source.cancel()
            self._thread.join(timeout=2.0)  # a hung driver must not hang the program

    def __enter__(self) -> Camera:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # For one who reads several cameras; all are called with their common condition held.

    @property
    def changed(self) -> Condition:
        """What is notified with every frame."""
        return self._changed

    def share(self, changed: Condition, number: int) -> None:
        """Become camera `number` of several that tell of frames through one condition."""
        if self._thread is not None:
            raise ValueError(f"{self.source.name} was read before it became one of several cameras")
        self._changed, self.number = changed, number

    def start(self) -> None:
        """Start capturing, if that has not been done yet."""
        if self._thread is None and not self._closed:
            self._start(self.source)

    def take(self) -> Frame | None:
        """Return the frame in the slot, if there is one, and free the slot."""
        frame, self._slot = self._slot, None
        if frame is None or self._closed:
            return None
        self._changed.notify_all()
        return frame if self.source.live else replace(frame, captured=perf_counter())

    def check(self) -> None:
        """Look after a source that stands still or is gone for too long; raise what ended it."""
        now = perf_counter()
        if self._reopen is not None and self.state != "ended":
            if self._lost_at and self._give_up is not None and now - self._lost_at >= self._give_up:
                self._end(self._turn, self._final_error(self._give_up))
            elif now - self._since > self._stall + _GRACE_SECONDS:
                self._abandon(now)
        if self._slot is None and self._error is not None and not self._closed:
            raise self._error

    # The capture thread.

    def _start(self, source: Source | None) -> None:
        """Start a capture thread; what an older one still brings counts no more."""
        self._turn += 1
        self._since = perf_counter()
        self._thread = Thread(
            target=self._capture, args=(source, self._turn), name="edgecat-camera", daemon=True
        )
        self._thread.start()

    def _capture(self, source: Source | None, turn: int) -> None:
        """Read the source, and open it again where that can be done, until it ends for good."""
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
                    if self._reopen is None or self._give_up == 0:
                        raise
                    gone, source = source, None
                    _close(gone)
                    self._pause(loss, turn)
        except Exception as fatal:
            error = fatal  # raised again where the camera is read
        finally:
            _close(source)
            with self._changed:
                self._end(turn, error)

    def _open_again(self, turn: int) -> Source:
        assert self._reopen is not None
        self._since = perf_counter()
        try:
            source = self._reopen()
        except UserError as error:  # it was right once: perhaps it will be again
            raise DeviceError(str(error)) from error
        with self._changed:
            if self._is_current(turn):
                self._gone_dropped += self.source.dropped
                self._gone_skipped += self.source.skipped
                self.source = source
                self._since = perf_counter()
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
        with self._changed:
            if not self._is_current(turn):
                return
            name, number = self.source.name, self.number
            frame = Frame(image, self._count, now, time.time(), shot.name, name, number, fitted)
            self._count += 1
            self._since = now
            if self.state != "live":
                self._come_back(now)
            if not self.source.live:
                self._changed.wait_for(lambda: self._slot is None or not self._is_current(turn))
                if not self._is_current(turn):
                    return
            elif self._slot is not None:
                self._dropped += 1
            self._slot = frame
            self._changed.notify_all()

    def _is_current(self, turn: int) -> bool:
        return turn == self._turn and not self._closed

    # Losses; the condition is held.

    def _lose(self, error: Exception) -> None:
        """Note that the source is lost; a loss is told once, however many attempts it takes."""
        self._reason = error
        self._tries += 1
        if self.state == "no signal":
            return
        self.losses += self.state == "live"
        self.state, self._lost_at = "no signal", perf_counter()
        self._tell("lost", 0.0)
        if self._give_up != 0:
            log.warning("no signal, trying again: %s", error)

    def _come_back(self, now: float) -> None:
        if self.state == "no signal":
            self._tell("back", now - self._lost_at)
            log.warning("%s is back after %.1f s", self.source.name, now - self._lost_at)
        self.state, self._lost_at, self._tries = "live", 0.0, 0

    def _tell(self, state: Literal["lost", "back"], seconds: float) -> None:
        self._note(state, str(self._reason), seconds)

    def _note(
        self, state: Literal["lost", "back", "switched"], reason: str, seconds: float = 0.0
    ) -> None:
        name = self.source.name
        self.signals.append(Signal(state, name, self.number, time.time(), reason, seconds))

    def _pause(self, loss: Exception, turn: int) -> None:
        """Wait before the next attempt: longer each time, never in step with other programs."""
        with self._changed:
            if not self._is_current(turn):
                return
            self._lose(loss)
            pause = min(_LONGEST_PAUSE, 0.05 * 2 ** min(self._tries, 5)) * random.uniform(0.5, 1)
            self._since = perf_counter() + pause
            self._changed.wait_for(lambda: not self._is_current(turn), pause)

    def _abandon(self, now: float) -> None:
        """Leave a thread that hangs in its driver to itself, and start another one."""
        self._since = now
        self._lose(DeviceError(f"{self.source.name} has given no frame for {self._stall:g} s"))
        self._abandoned = [thread for thread in self._abandoned if thread.is_alive()]
        if self._thread is not None and len(self._abandoned) < _ABANDONED:
            self.source.cancel()
            self._abandoned.append(self._thread)
            self._start(None)

    def _final_error(self, give_up: float) -> Exception | None:
        if not give_up:
            return self._reason
        return DeviceError(f"{self._reason}; given up after {give_up:g} s")

    def _end(self, turn: int, error: Exception | None) -> None:
        if turn == self._turn:
            self._turn += 1
            self._error = error
            self.state = "ended"
            self._changed.notify_all()


def _close(source: Source | None) -> None:
    """Close a source; one that cannot even do that has ended all the same."""
    try:
        if source is not None:
            source.close()
    except Exception as error:
        log.debug("%s could not be closed: %s", source.name if source else "", error)


class _Absent(Source):
    """A live source that could not be opened yet."""

    live = True

    def __init__(self, name: str, error: DeviceError) -> None:
        self.name = name
        self._error = error

    def read(self) -> Shot | None:
        raise self._error


def read_newest(
    cameras: Sequence[Camera], changed: Condition, timeout: float | None
) -> list[Frame]:
    """Return a frame of each camera that has one, waiting for the first; none when all have ended.

    Args:
        cameras: that share `changed`.
        changed: notified with every frame.
        timeout: seconds to wait; None waits as long as it takes.

    Raises:
        TimeoutError: no frame came in time.
        EdgecatError: what ended one of them.
    """
    deadline = perf_counter() + (float("inf") if timeout is None else timeout)
    with changed:
        for camera in cameras:
            camera.start()
        while True:
            for camera in cameras:
                camera.check()
            frames = [frame for camera in cameras if (frame := camera.take()) is not None]
            if frames or all(camera.state == "ended" for camera in cameras):
                return frames
            left = deadline - perf_counter()
            if left <= 0:
                names = ", ".join(camera.source.name for camera in cameras)
                raise TimeoutError(f"{names} gave no frame in {timeout} s")
            changed.wait(min(left, _POLL_SECONDS))
