"""The sources that a camera reads: interface, options, and registry of schemes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from edgecat_runtime.camera.view import Flip, Region, Rotation
from edgecat_runtime.errors import UserError

if TYPE_CHECKING:
    from edgecat_runtime.types import Image  # imports numpy, which no option needs

Transport = Literal["tcp", "udp"]

SOURCES = "a camera number, /dev/videoN, a video file, or an image, image folder or glob"


class Shot(NamedTuple):
    """An image (h, w, 3) BGR uint8 read from a source, and its name, if it has one.

    Example:
        >>> import numpy as np
        >>> Shot(np.zeros((480, 640, 3), np.uint8), "cat.jpg").name
        'cat.jpg'
    """

    image: Image
    name: str = ""


@dataclass(frozen=True)
class SourceOptions:
    """How to open a source; a source raises an error for options it does not support.

    Attributes:
        width: frame width in pixels; 0: the source's default.
        height: frame height in pixels; 0: the source's default.
        fps: frames per second; 0: the source's default.
        rotate: rotate the image clockwise by this many degrees.
        flip: mirror the rotated image.
        roi: region of interest in the rotated and mirrored image.
        realtime: play a file as if it were live, at its own rate, keeping the newest frame.
        transport: transport protocol for RTSP.
        stall: seconds without a frame after which a live source counts as lost.
        frozen: seconds after which a camera that repeats one image, byte for byte, is reported; 0:
            never.

    Example:
        >>> SourceOptions(width=1280, height=720, rotate=90).stall
        5.0
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
    frozen: float = 60.0

    def refuse(self, what: str, *names: str, instead: str) -> None:
        """Raise UserError if one of the named options is given.

        Args:
            what: the source, for the message.
            names: options that it does not support.
            instead: what to do instead.
        """
        for name in names:
            if getattr(self, name):
                raise UserError(f"{what} does not support --{name}; {instead}")


NO_OPTIONS = SourceOptions()


class Source:
    """A source of frames; subclass it and register it with `register_source`.

    `read` and `close` are called from one thread, the camera's; `close` only once.

    Attributes:
        name: used in messages, such as `camera /dev/video0`; without passwords.
        live: frames arrive whether they are read or not, so the newest wins; else every frame
            counts.
        stills: frames are unrelated, so they are not smoothed.
        fps: nominal frames per second; 0 if unknown.
        reopens: whether a live source can be reopened after a loss.
        may_freeze: whether the same image again and again is a fault, as with a camera, whose
            images have noise.
        skipped: number of frames skipped so far because they could not be read.
        dropped: number of frames that the source itself skipped in favour of newer ones.

    Example:
        >>> source = open_source("clip.mp4")  # doctest: +SKIP
        >>> source.read().image.shape  # doctest: +SKIP
        (720, 1280, 3)
    """

    name: str = "source"
    live: bool = False
    stills: bool = False
    fps: float = 0.0
    reopens: bool = True
    may_freeze: bool = False
    skipped: int = 0
    dropped: int = 0

    def read(self) -> Shot | None:
        """Return the next frame, in a new array; None at the end.

        Raises:
            DeviceError: a live source was lost.
            UserError: a file contains nothing that can be decoded.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Release the device or file."""

    def cancel(self) -> None:
        """Make a `read` that hangs in another thread return or raise, if possible."""


SourceOpener = Callable[[str, SourceOptions], Source]
