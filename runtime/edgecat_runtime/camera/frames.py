"""What a camera delivers: frames and status events."""

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
        index: its position in the source, from 0; dropped frames count too.
        captured: capture time, in seconds of `time.perf_counter`. A frame of a file does not age
            while it waits to be read.
        time: Unix time in seconds.
        name: the image's name, if the source has names.
        source: name of the source.
        camera: index of the camera among several, from 0.
        fitted: the preprocessed frame, if the capture thread has made it already.
    """

    image: Image
    index: int
    captured: float
    time: float
    name: str = ""
    source: str = ""
    camera: int = 0
    fitted: Fitted | None = None


News = Literal[
    "started",
    "lost",
    "back",
    "frozen",
    "moving",
    "switched",
    "reopened",
    "reloaded",
    "refused",
    "stopped",
]


@dataclass(frozen=True, slots=True)
class Signal:
    """A status event of a source or of the loop.

    Attributes:
        state: the loop `started`; a live source was `lost`, is `back`, has `frozen`, is `moving`
            again; the camera was `switched` to another source; the engine failed and was
            `reopened`; the model file was replaced, and the new one was `reloaded` or `refused`;
            the loop `stopped`.
        source: name of the source.
        camera: index of the camera among several.
        time: Unix time in seconds.
        reason: why.
        seconds: if the source is back, how long it delivered no frame; if it has frozen or is
            moving, for how long its image has not changed.
        before: the camera's previous label or status: a label, `unsure`, `waiting` for a frame, `no
            signal` or `stopped`.
        age: seconds since the capture of the last classified frame; 0 if there was none.
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
        """The camera's status after this event, until its next answer."""
        return _AFTER.get(self.state, self.before)


WAITING, STOPPED = "waiting", "stopped"
_AFTER: dict[News, str] = {
    "started": WAITING,
    "lost": "no signal",
    "back": WAITING,
    "switched": WAITING,
    "stopped": STOPPED,
}
