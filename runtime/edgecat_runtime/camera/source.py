"""What a camera reads from: the interface, the options, and the registry of schemes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from edgecat_runtime.camera.view import Flip, Region, Rotation
from edgecat_runtime.errors import UserError
from edgecat_runtime.types import Image

Transport = Literal["tcp", "udp"]

SOURCES = "a camera number, /dev/videoN, a video file, or a picture, folder or glob of pictures"

_PASSWORD = re.compile(r"(?<=://)[^\s?#]*@")  # rather too much of a path than a part of a password
_SECRET = re.compile(
    r"((?:^|[?&;])[^=&;\s]*(?:pass|pwd|token|key|auth|secret|user)[^=&;\s]*=)[^&;\s]+", re.I
)


class Shot(NamedTuple):
    """What a source reads: a picture (h, w, 3) BGR uint8 and, where it has one, its name."""

    image: Image
    name: str = ""


@dataclass(frozen=True)
class SourceOptions:
    """How a source is to be opened; what it cannot honour it refuses.

    Attributes:
        width: of the frames, in pixels; 0 leaves it to the source.
        height: likewise.
        fps: frames a second; 0 leaves it to the source.
        rotate: degrees clockwise, of any source.
        flip: mirrors the turned picture.
        roi: the part of the turned and mirrored picture that counts.
        realtime: play a file as if it were live, at its own rate, newest frame first.
        transport: of RTSP.
        stall: seconds without a frame after which a live source counts as lost.
    """

    width: int = 0
    height: int = 0
    fps: float = 0.0
    rotate: Rotation = 0
    flip: Flip | None = None
    roi: Region | None = None
    realtime: bool = False
    transport: Transport = "tcp"
    stall: float = 5.0

    def refuse(self, what: str, *names: str, instead: str) -> None:
        """Raise UserError where one of the named options is given.

        Args:
            what: the source, for the sentence.
            names: of the options that it cannot honour.
            instead: what to do.
        """
        for name in names:
            if getattr(self, name):
                raise UserError(f"{what} takes no --{name}; {instead}")


NO_OPTIONS = SourceOptions()


class Source:
    """Where frames come from; subclass it and `register_source` it.

    `read` and `close` are called from one thread, the camera's; `close` only once.

    Attributes:
        name: for sentences, such as `camera /dev/video0`; without passwords.
        live: frames pass whether they are read or not, so the newest wins; else every frame counts.
        stills: frames have nothing to do with one another, so nothing is smoothed over them.
        fps: frames a second as the source states them; 0 unknown.
        reopens: whether a live one can be opened again when it was lost.
        skipped: frames that could not be read and were left out so far.
        dropped: frames that the source itself passed over, because a newer one was there.
    """

    name: str = "source"
    live: bool = False
    stills: bool = False
    fps: float = 0.0
    reopens: bool = True
    skipped: int = 0
    dropped: int = 0

    def read(self) -> Shot | None:
        """Return the next frame, in a new array; None at the end.

        Raises:
            DeviceError: a live source has vanished.
            UserError: a file holds nothing that can be read.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Let the device or file go."""

    def cancel(self) -> None:
        """Make a `read` that hangs in another thread return or raise, where that can be done."""


SourceOpener = Callable[[str, SourceOptions], Source]


def redacted(text: str) -> str:
    """Return an address or pipeline with its user, password and keys replaced by `***`."""
    return _SECRET.sub(r"\1***", _PASSWORD.sub("***@", text))
