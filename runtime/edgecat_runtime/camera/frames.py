"""What a camera delivers: frames and status events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from edgecat_runtime.model.card import Fit
from edgecat_runtime.model.status import Status, displayed
from edgecat_runtime.model.versions import ModelVersion, Refusal
from edgecat_runtime.types import Image


class Fitted(NamedTuple):
    """A frame as a network takes it.

    Attributes:
        pixels: uint8 (height, width, 3), BGR.
        fit: how it met that size.
        seconds: duration.
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

    Example:
        >>> with Camera.open("clip.mp4") as camera:  # doctest: +SKIP
        ...     print(next(iter(camera)).image.shape)
        (720, 1280, 3)
    """

    image: Image
    index: int
    captured: float
    time: float
    name: str = ""
    source: str = ""
    camera: int = 0
    fitted: Fitted | None = None


EventKind = Literal[
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
class StatusEvent:
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
        previous_label: the camera's previous label; None if it had none.
        previous_status: the camera's previous status: live, or why it had no label.
        age: seconds since the capture of the last classified frame; 0 if there was none.
        model: of an event of the loop: the channel's model in use; None without a channel.
        refusal: of `refused`: the update that a channel offered; None without a channel.

    Example:
        >>> door = CallbackSink(open_door, on_signal=lambda s: print(s.state))  # doctest: +SKIP
    """

    state: EventKind
    source: str
    camera: int
    time: float
    reason: str
    seconds: float = 0.0
    previous_label: str | None = None
    previous_status: Status = Status.STOPPED
    age: float = 0.0
    model: ModelVersion | None = None
    refusal: Refusal | None = None

    @property
    def status(self) -> Status:
        """The camera's status after this event, until its next answer."""
        return _AFTER.get(self.state, self.previous_status)

    @property
    def before(self) -> str:
        """The previous label, or else the word for the previous status, as in events."""
        return displayed(self.previous_label, self.previous_status)

    @property
    def after(self) -> str:
        """The word for the status after this event, or the label that is still held."""
        return self.status.value if self.state in _AFTER else self.before


Signal = StatusEvent  # its former name

_AFTER: dict[EventKind, Status] = {
    "started": Status.WAITING,
    "lost": Status.NO_SIGNAL,
    "back": Status.WAITING,
    "switched": Status.WAITING,
    "stopped": Status.STOPPED,
}
