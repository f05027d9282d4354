"""The camera: frames of any source, every one of a file and the newest of a live one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Condition
from time import perf_counter
from types import TracebackType

from edgecat_runtime.camera.frames import Fitted, Frame, Signal
from edgecat_runtime.camera.opening import open_source
from edgecat_runtime.camera.reader import Reader
from edgecat_runtime.camera.recovery import Absent, State
from edgecat_runtime.camera.source import NO_OPTIONS, Source, SourceOptions, redacted
from edgecat_runtime.errors import DeviceError
from edgecat_runtime.system.clocks import Clock
from edgecat_runtime.types import Image

_POLL_SECONDS = 0.2


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
        self._options = options
        self._reader = Reader(source, reopen, options, give_up)

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
            opened = Absent(redacted(str(source)), error)
        return cls(opened, reopen=reopen, options=options, give_up=give_up)

    @property
    def source(self) -> Source:
        """What is read now."""
        return self._reader.source

    @property
    def number(self) -> int:
        """Of this camera among several, from 0."""
        return self._reader.number

    @property
    def state(self) -> State:
        """`waiting` for the first frame, `live`, `no signal` or `ended`."""
        return self._reader.recovery.state

    @property
    def losses(self) -> int:
        """How often a source that had given frames was lost."""
        return self._reader.recovery.losses

    @property
    def signals(self) -> deque[Signal]:
        """What happened to the source and nobody has taken yet; the oldest first."""
        return self._reader.signals

    @property
    def clock(self) -> Clock:
        """Durations of the source's `read`."""
        return self._reader.clock

    @property
    def fit(self) -> Callable[[Image], Fitted] | None:
        """Fits each frame of a file to a network while the one before is answered; None: not.

        A live frame may never be answered, so it is fitted when it is.
        """
        return self._reader.fit

    @fit.setter
    def fit(self, function: Callable[[Image], Fitted] | None) -> None:
        self._reader.fit = function

    @property
    def fps(self) -> float:
        """The constant frame rate; 0 of a live source, whose frames come when they come."""
        return 0.0 if self.source.live else self.source.fps or 25.0

    @property
    def dropped(self) -> int:
        """Frames of a live source that came and went unread."""
        return self._reader.dropped

    @property
    def skipped(self) -> int:
        """Frames that could not be decoded."""
        return self._reader.skipped

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
        frames = read_newest([self], self.changed, timeout)
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
        self._reader.switch(reopen(), reopen)

    def close(self) -> None:
        """Stop capturing and close the source; calling it twice is harmless."""
        self._reader.close()

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
        return self._reader.changed

    def share(self, changed: Condition, number: int) -> None:
        """Become camera `number` of several that tell of frames through one condition."""
        if self._reader.started:
            raise ValueError(f"{self.source.name} was read before it became one of several cameras")
        self._reader.changed, self._reader.number = changed, number

    def start(self) -> None:
        """Start capturing, if that has not been done yet."""
        if not self._reader.started and not self._reader.closed:
            self._reader.start(self.source)

    def take(self) -> Frame | None:
        """Return the frame in the slot, if there is one, and free the slot."""
        reader = self._reader
        frame, reader.slot = reader.slot, None
        if frame is None or reader.closed:
            return None
        reader.changed.notify_all()
        return frame if self.source.live else replace(frame, captured=perf_counter())

    def check(self) -> None:
        """Look after a source that stands still or is gone for too long; raise what ended it."""
        reader = self._reader
        reader.check()
        if reader.slot is None and reader.error is not None and not reader.closed:
            raise reader.error


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
