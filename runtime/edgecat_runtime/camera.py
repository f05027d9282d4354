"""The camera: frames of any source, every one of a file and the newest of a live one."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Condition, Thread
from time import perf_counter
from types import TracebackType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.clocks import Clock
from edgecat_runtime.errors import UserError

Image = NDArray[np.uint8]

SOURCES = "a camera number, /dev/videoN, a video file, or a picture, folder or glob of pictures"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # two letters at least: C: is a drive


class Shot(NamedTuple):
    """What a source reads: a picture (h, w, 3) BGR uint8 and, where it has one, its name."""

    image: Image
    name: str = ""


class Source:
    """Where frames come from; subclass it and `register_source` it.

    `read` and `close` are called from one thread, the camera's; `close` only once.

    Attributes:
        name: for sentences, such as `camera /dev/video0`.
        live: frames pass whether they are read or not, so the newest wins; else every frame counts.
        stills: frames have nothing to do with one another, so nothing is smoothed over them.
        fps: frames a second as the source states them; 0 unknown.
        skipped: frames that could not be read and were left out so far.
    """

    name: str = "source"
    live: bool = False
    stills: bool = False
    fps: float = 0.0
    skipped: int = 0

    def read(self) -> Shot | None:
        """Return the next frame, in a new array; None at the end.

        Raises:
            DeviceError: a live source has vanished.
            UserError: a file holds nothing that can be read.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Let the device or file go."""


SourceOpener = Callable[[str], Source]
_SCHEMES: dict[str, SourceOpener] = {}


def register_source(scheme: str, open_function: SourceOpener) -> None:
    """Make `scheme:...` a source, as in `synthetic://pets`.

    Args:
        scheme: two characters or more, without the colon.
        open_function: called with the whole text; returns an open source or raises an EdgecatError.
    """
    if not _SCHEME.fullmatch(f"{scheme}:"):
        raise ValueError(f"scheme is {scheme!r}; expected two or more letters, digits, + . -")
    _SCHEMES[scheme.lower()] = open_function


def open_source(text: str | int | Path) -> Source:
    """Open a source named by a text.

    Args:
        text: a camera number, a `/dev/videoN`, a video file, a picture, a folder or a glob of
            pictures, or what a registered scheme takes.

    Raises:
        UserError: it is empty, or nothing is there, or nothing that can be read.
        DeviceError: there is no such camera, or it cannot be opened.
    """
    from edgecat_runtime.sources import open_file, open_webcam

    text = str(text)
    if not text:  # else the current folder, as of an empty path
        raise UserError(f"--source is empty; expected {SOURCES}. Is a shell variable unset?")
    if re.fullmatch(r"[0-9]+|/dev/video[0-9]+", text) or Path(text).is_char_device():
        return open_webcam(text)
    match = _SCHEME.match(text)
    if match is None or Path(text).exists():
        return open_file(text)
    if match[1].lower() not in _SCHEMES:
        known = "".join(f", or {scheme}:..." for scheme in sorted(_SCHEMES))
        raise UserError(
            f"source {text!r} has an unknown scheme; expected {SOURCES}{known}. Others are added "
            "with edgecat_runtime.camera.register_source"
        )
    return _SCHEMES[match[1].lower()](text)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame.

    Attributes:
        image: uint8 (h, w, 3), BGR.
        index: its number at the source, from 0; dropped frames have numbers too.
        captured: when, in seconds of `time.perf_counter`. A frame of a file does not age while it
            waits to be read.
        time: when, in seconds since 1970.
        name: of the picture, where the source names them.
    """

    image: Image
    index: int
    captured: float
    time: float
    name: str = ""


class Camera:
    """A source with its capture thread and one slot; there is no queue that could grow old.

    A live source overwrites the slot, and what was overwritten is counted as dropped. A file waits
    until the slot is free, so no frame is lost, and the next is decoded while this one is answered.

    Attributes:
        source: what is read.
        dropped: frames of a live source that came and went unread.
        clock: durations of the source's `read`.

    Example:
        >>> with Camera.open("clip.mp4") as camera:  # doctest: +SKIP
        ...     for frame in camera:
        ...         print(frame.index, frame.image.shape)
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.dropped = 0
        self.clock = Clock()
        self._slot: Frame | None = None
        self._count = 0
        self._ended = self._closed = False
        self._error: Exception | None = None
        self._changed = Condition()
        self._thread: Thread | None = None

    @classmethod
    def open(cls, source: str | int | Path | Source) -> Camera:
        """Open a source, by its text (see `open_source`, also for what it raises) or itself."""
        return cls(source if isinstance(source, Source) else open_source(source))

    @property
    def fps(self) -> float:
        """The constant frame rate; 0 of a live source, whose frames come when they come."""
        return 0.0 if self.source.live else self.source.fps or 25.0

    def read(self, timeout: float | None = None) -> Frame | None:
        """Return the next frame, of a live source the newest; None at the end.

        The first call starts capturing, so frames do not pass while a model is being loaded.

        Args:
            timeout: seconds to wait; None waits as long as it takes.

        Raises:
            TimeoutError: no frame came in time.
            DeviceError: a live source has vanished; frames that came before are given first.
            UserError: a file holds nothing that can be read.
        """
        if self._thread is None and not self._closed:
            self._thread = Thread(target=self._capture, name="edgecat-camera", daemon=True)
            self._thread.start()
        with self._changed:
            if not self._changed.wait_for(self._is_ready, timeout):
                raise TimeoutError(f"{self.source.name} gave no frame in {timeout} s")
            frame, self._slot = self._slot, None
            self._changed.notify_all()
        if self._closed:
            return None
        if frame is None and self._error is not None:
            raise self._error
        if frame is None or self.source.live:
            return frame
        return replace(frame, captured=perf_counter())

    def __iter__(self) -> Iterator[Frame]:
        while (frame := self.read()) is not None:
            yield frame

    def close(self) -> None:
        """Stop capturing and close the source; calling it twice is harmless."""
        if self._closed:
            return
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is None:
            self.source.close()
        else:
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

    def _is_ready(self) -> bool:
        return self._slot is not None or self._ended or self._closed

    def _capture(self) -> None:
        """Read the source until it ends, fails or is closed: the capture thread."""
        try:
            while not self._closed:
                start = perf_counter()
                shot = self.source.read()
                if shot is None:
                    break
                self.clock.add(perf_counter() - start)
                self._hand_over(shot)
        except Exception as error:
            self._error = error  # raised again where the camera is read
        finally:
            self.source.close()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _hand_over(self, shot: Shot) -> None:
        frame = Frame(shot.image, self._count, perf_counter(), time.time(), shot.name)
        self._count += 1
        with self._changed:
            if not self.source.live:
                self._changed.wait_for(lambda: self._slot is None or self._closed)
            elif self._slot is not None:
                self.dropped += 1
            self._slot = frame
            self._changed.notify_all()
