"""What a camera hands over: frames, and news of its signal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from edgecat_runtime.model.card import Fit
from edgecat_runtime.types import Image


class Fitted(NamedTuple):
    """A frame as a network takes it.

    Attributes:
        pixels: uint8 (height, width, 3), BGR.
        fit: how it met that size.
        seconds: that it took.
    """

    pixels: Image
    fit: Fit
    seconds: float


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
        source: name of the source.
        camera: number of the camera among several, from 0.
        fitted: to the network already, where the capture thread had the time.
    """

    image: Image
    index: int
    captured: float
    time: float
    name: str = ""
    source: str = ""
    camera: int = 0
    fitted: Fitted | None = None


News = Literal["started", "lost", "back", "switched", "reopened", "reloaded", "refused", "stopped"]


@dataclass(frozen=True, slots=True)
class Signal:
    """News of a source or of the loop.

    Attributes:
        state: `started` the loop has; a live source was `lost` or is `back`; the camera was
            `switched` to another source; the engine failed and was `reopened`; its file was
            replaced, and the new one was `reloaded` or `refused`; the loop `stopped`.
        source: its name.
        camera: number of the camera among several.
        time: when, in seconds since 1970.
        reason: why.
        seconds: how long it has been without a frame, where the source is back.
        before: what the loop said of this camera before: a label, `unsure`, `waiting` for a frame,
            `no signal` or `stopped`.
        age: seconds since the capture of the frame that was answered last; 0 where none was.
    """

    state: News
    source: str
    camera: int
    time: float
    reason: str
    seconds: float = 0.0
    before: str = ""
    age: float = 0.0

    @property
    def after(self) -> str:
        """What the loop says of this camera from now on, until its next answer."""
        return _AFTER.get(self.state, self.before)


WAITING, STOPPED = "waiting", "stopped"
_AFTER: dict[News, str] = {
    "started": WAITING,
    "lost": "no signal",
    "back": WAITING,
    "switched": WAITING,
    "stopped": STOPPED,
}
