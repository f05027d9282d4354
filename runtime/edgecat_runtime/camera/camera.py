"""The camera: frames from any source, every frame of a file, the newest of a live source."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Condition
from time import perf_counter
from types import TracebackType
from weakref import finalize

from edgecat_runtime.camera.frames import Fitted, Frame, StatusEvent
from edgecat_runtime.camera.opening import open_source
from edgecat_runtime.camera.reader import Reader
from edgecat_runtime.camera.recovery import Absent
from edgecat_runtime.camera.redaction import redacted
from edgecat_runtime.camera.source import NO_OPTIONS, Source, SourceOptions
from edgecat_runtime.errors import DeviceError
from edgecat_runtime.model.status import Status
from edgecat_runtime.system.clocks import Clock
from edgecat_runtime.types import Image

log = logging.getLogger("edgecat_runtime")

_POLL_SECONDS = 0.2


class Camera:
    """A source with a capture thread and a one-frame slot: no queue, so no stale frames.

    A live source overwrites the slot, and overwritten frames count as dropped. A file waits until
    the slot is free, so no frame is lost, and the next is decoded while this one is classified.

    A live source that can be reopened survives a loss: when it fails, or delivers no frame for
    `options.stall` seconds, it is reopened until it returns, with a backoff of at most half a
    second. A thread that hangs in a driver is abandoned.

    Args:
        source: the source to read.
        reopen: reopens it; None: its loss is an error.
        options: rotation, flip and region of interest of its images, and the stall timeout.
        give_up: seconds without a frame after which a loss is an error; None: never.

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
        finalize(self, self._reader.close, 0.0).atexit = False  # the reader does that itself

    @classmethod
    def open(
        cls,
        source: str | int | Path | Source,
        *,
        options: SourceOptions = NO_OPTIONS,
        give_up: float | None = None,
        wait: bool = False,
        name: str = "",
    ) -> Camera:
        """Open a source given as text or as an object; `open_source` lists the errors.

        Args:
            source: a live source given as text is reopened when it is lost.
            options: how to open it.
            give_up: as for the camera.
            wait: whether to wait for a source that does not exist yet, as for a lost one.
            name: what messages, events and pages call it; empty: the source's own name.
        """
        if isinstance(source, Source):
            source.name = name or source.name
            return cls(source, options=options, give_up=give_up)
        reopen = partial(_open_named, source, options, name)
        try:
            opened = reopen()
        except DeviceError as error:
            if not wait:
                raise
            log.info("waiting for %s: %s", redacted(str(source)), error)
            opened = Absent(name or redacted(str(source)), error)
        else:
            log.info("opened %s", opened.name)
        return cls(opened, reopen=reopen, options=options, give_up=give_up)

    @property
    def source(self) -> Source:
        """What is read now."""
        return self._reader.source

    @property
    def number(self) -> int:
        """Index of this camera among several, from 0."""
        return self._reader.number

    @property
    def state(self) -> Status:
        """Waiting for the first frame, live, no signal or ended."""
        return self._reader.recovery.state

    @property
    def frozen(self) -> bool:
        """Whether a live source has delivered one image for `options.frozen` seconds."""
        return self._reader.freeze.frozen

    @property
    def losses(self) -> int:
        """Number of times a source that had delivered frames was lost."""
        return self._reader.recovery.losses

    @property
    def signals(self) -> deque[StatusEvent]:
        """Status events of the source not consumed yet, oldest first."""
        return self._reader.signals

    @property
    def clock(self) -> Clock:
        """Durations of the source's `read`."""
        return self._reader.clock

    @property
    def fit(self) -> Callable[[Image], Fitted] | None:
        """Preprocesses each frame of a file while the previous one is classified; None: off.

        A live frame may be dropped, so it is preprocessed only when it is classified.
        """
        return self._reader.fit

    @fit.setter
    def fit(self, function: Callable[[Image], Fitted] | None) -> None:
        self._reader.fit = function

    @property
    def fps(self) -> float:
        """The constant frame rate; 0 for a live source, whose rate varies."""
        return 0.0 if self.source.live else self.source.fps or 25.0

    @property
    def dropped(self) -> int:
        """Frames of a live source that were overwritten unread."""
        return self._reader.dropped

    @property
    def skipped(self) -> int:
        """Frames that could not be decoded."""
        return self._reader.skipped

    def read(self, timeout: float | None = None) -> Frame | None:
        """Return the next frame (for a live source, the newest); None at the end.

        The first call starts the capture, so no frame is lost while a model is being loaded.

        Args:
            timeout: seconds to wait; None: no limit.

        Raises:
            TimeoutError: no frame came in time.
            DeviceError: a live source was lost for good or for longer than `give_up`; frames
                captured before are returned first.
            UserError: a file contains nothing that can be decoded.
        """
        frames = read_newest([self], self.changed, timeout)
        return frames[0] if frames else None

    def __iter__(self) -> Iterator[Frame]:
        while (frame := self.read()) is not None:
            yield frame

    def switch(self, source: str) -> None:
        """Switch to another source; may be called from any thread.

        Raises:
            UserError, DeviceError: as `open_source`; the current source is kept.
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

    # For reading several cameras; called with their shared condition held.

    @property
    def changed(self) -> Condition:
        """The condition that is notified with every frame."""
        return self._reader.changed

    def share(self, changed: Condition, number: int) -> None:
        """Become camera `number` of several that share one condition."""
        if self._reader.started:
            raise ValueError(f"{self.source.name} was read before it became one of several cameras")
        self._reader.changed, self._reader.number = changed, number

    def start(self) -> None:
        """Start the capture, unless it is running already."""
        if not self._reader.started and not self._reader.closed:
            self._reader.start(self.source)

    def take(self) -> Frame | None:
        """Return the frame in the slot, if any, and clear the slot."""
        reader = self._reader
        frame, reader.slot = reader.slot, None
        if frame is None or reader.closed:
            return None
        reader.changed.notify_all()
        return frame if self.source.live else replace(frame, captured=perf_counter())

    def check(self) -> None:
        """Handle a source that stalls or is lost for too long; raise the error that ended it."""
        reader = self._reader
        reader.check()
        if reader.slot is None and reader.error is not None and not reader.closed:
            raise reader.error


def _open_named(text: str | int | Path, options: SourceOptions, name: str) -> Source:
    """Open a source and give it a name, each time anew; empty keeps its own."""
    source = open_source(text, options)
    source.name = name or source.name
    return source


def read_newest(
    cameras: Sequence[Camera], changed: Condition, timeout: float | None
) -> list[Frame]:
    """Return a frame of each camera that has one, waiting for the first; empty at the end of all.

    Args:
        cameras: cameras that share `changed`.
        changed: notified with every frame.
        timeout: seconds to wait; None: no limit.

    Raises:
        TimeoutError: no frame came in time.
        EdgecatError: the error that ended one of them.
    """
    deadline = perf_counter() + (float("inf") if timeout is None else timeout)
    with changed:
        for camera in cameras:
            camera.start()
        while True:
            for camera in cameras:
                camera.check()
            frames = [frame for camera in cameras if (frame := camera.take()) is not None]
            if frames or all(camera.state is Status.ENDED for camera in cameras):
                return frames
            left = deadline - perf_counter()
            if left <= 0:
                names = ", ".join(camera.source.name for camera in cameras)
                raise TimeoutError(f"no frame from {names} within {timeout} s")
            changed.wait(min(left, _POLL_SECONDS))
