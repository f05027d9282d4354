"""The frame source: the camera, a frozen frame, or still images."""

from __future__ import annotations

import glob
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event
from time import perf_counter

import numpy as np

from edgecat.deepvis.desk import Desk
from edgecat.deepvis.state import State
from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.camera.frames import Frame
from edgecat_runtime.camera.source import Shot, Source, SourceOptions
from edgecat_runtime.camera.sources.files import natural_key
from edgecat_runtime.errors import UserError
from edgecat_runtime.images import IMAGE_SUFFIXES, ImageError, read_image
from edgecat_runtime.model.status import Status

log = logging.getLogger("edgecat_runtime")

_HEARTBEAT = 1.0  # seconds after which an unchanged frame is classified again


class Stage(Camera):
    """A camera whose frames the state selects; a state change repeats the current frame.

    A film restarts at its end.
    """

    _desk: Desk | None = None
    _text = ""
    _pictures: Sequence[Path] = ()
    _kept: Frame | None = None
    _still: tuple[int, Frame] | None = None
    _given: tuple[State, str] | None = None
    _given_at = 0.0

    def follow(self, desk: Desk, text: str, pictures: Sequence[Path]) -> None:
        """Let a desk switch between this source and still images from now on.

        Args:
            desk: holds the state.
            text: of the source, to restart it; empty if there are only images.
            pictures: files.
        """
        self._desk, self._text, self._pictures = desk, text, pictures
        desk.listen(self._wake)

    def again(self) -> None:
        """Repeat the frame, although nothing has changed."""
        self._given = None
        self._wake()

    def check(self) -> None:
        """Maintain the source as `Camera` does; restart a film at its end."""
        super().check()
        if self.state is Status.ENDED and self._text:
            self.switch(self._text)

    def take(self) -> Frame | None:
        """Return a new frame, or the old one if the state or the signal has changed."""
        fresh = super().take()
        if self._desk is None:
            return fresh
        state, now = self._desk.state, perf_counter()
        stays = state.frozen or state.still
        if fresh is not None and not stays:
            self._kept = fresh
        frame = self._picture(state.picture) if state.still else self._kept
        if state.frozen and frame is None:
            frame = self._kept = fresh  # the first frame is needed in any case
        is_new = (state, self.state) != self._given or (frame is fresh and fresh is not None)
        if frame is None or not (is_new or (stays and now - self._given_at > _HEARTBEAT)):
            return None
        self._given, self._given_at = (state, self.state), now
        if frame is fresh:
            return frame
        return replace(frame, captured=now, time=time.time(), camera=self.number)

    def _picture(self, number: int) -> Frame | None:
        """Read a still image, cached; a damaged one is grey."""
        if self._still is None or self._still[0] != number:
            path = self._pictures[number]
            try:
                image = read_image(path)
            except ImageError as error:
                log.warning("%s", error)
                image = np.full((64, 64, 3), 114, np.uint8)
            frame = Frame(image, number, perf_counter(), time.time(), str(path), path.name)
            self._still = number, frame
        return self._still[1]

    def _wake(self, state: State | None = None) -> None:
        with self.changed:
            self.changed.notify_all()


class Nothing(Source):
    """The source without a camera: still images only."""

    name = "pictures"
    live = True
    stills = True
    reopens = False

    def __init__(self) -> None:
        self._closed = Event()

    def read(self) -> Shot | None:
        """Wait until it is released."""
        self._closed.wait()
        return None

    def cancel(self) -> None:
        """Make `read` return."""
        self._closed.set()

    close = cancel


def find_images(text: str) -> list[Path]:
    """List the images in a folder, a glob or a file; empty for any other source.

    Raises:
        UserError: a folder without images.
    """
    path = Path(text)
    if path.is_dir():
        found = list(path.rglob("*"))
    elif any(letter in text for letter in "*?[") and "://" not in text:
        found = [Path(name) for name in glob.glob(text, recursive=True)]  # noqa: PTH207
    else:
        found = [path]
    kept = [one for one in found if one.suffix.lower() in IMAGE_SUFFIXES and one.is_file()]
    kept = [one for one in kept if not one.name.startswith(".")]
    if path.is_dir() and not kept:
        wanted = " ".join(IMAGE_SUFFIXES)
        raise UserError(f"the folder {text} contains no images; expected {wanted}. Check the path")
    return sorted(kept, key=natural_key)


def open_stage(
    text: str,
    desk: Desk,
    pictures: Sequence[Path],
    *,
    options: SourceOptions,
    give_up: float | None = None,
    wait: bool = False,
) -> Stage:
    """Open a source, or none if `text` is empty; raises as `Camera.open`.

    Args:
        text: as for `open_source`.
        desk: holds the state.
        pictures: files of still images.
        options: options of the source; a film is played at its own frame rate.
        give_up: as for `Camera`.
        wait: likewise.
    """
    options = replace(options, realtime=True)
    source = text or Nothing()
    stage = Stage.open(source, options=options, give_up=give_up, wait=wait)
    assert isinstance(stage, Stage)
    stage.follow(desk, text, pictures)
    return stage
