"""What a camera reads from: the interface, the options, and the registry of schemes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.camera.view import Flip, Region, Rotation
from edgecat_runtime.errors import UserError

Image = NDArray[np.uint8]
Transport = Literal["tcp", "udp"]

SOURCES = "a camera number, /dev/videoN, a video file, or a picture, folder or glob of pictures"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # two letters at least: C: is a drive
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
_SCHEMES: dict[str, SourceOpener] = {}
_EXAMPLES: dict[str, str] = {}


def register_source(scheme: str, open_function: SourceOpener, *, example: str = "") -> None:
    """Make `scheme:...` a source, as in `synthetic://pets`.

    Args:
        scheme: two characters or more, without the colon.
        open_function: called with the whole text and the options; returns an open source or raises
            an EdgecatError. `rotate`, `flip`, `roi` and `realtime` are none of its business.
        example: for lists; empty: `scheme:...`.
    """
    if not _SCHEME.fullmatch(f"{scheme}:"):
        raise ValueError(f"scheme is {scheme!r}; expected two or more letters, digits, + . -")
    _SCHEMES[scheme.lower()] = open_function
    _EXAMPLES[scheme.lower()] = example or f"{scheme}:..."


def registered_examples() -> tuple[str, ...]:
    """An example of each scheme that was registered, sorted."""
    return tuple(_EXAMPLES[scheme] for scheme in sorted(_SCHEMES))


def open_source(text: str | int | Path, options: SourceOptions = NO_OPTIONS) -> Source:
    """Open a source named by a text.

    Args:
        text: a camera number, a `/dev/videoN`, a video file, a picture, a folder or a glob of
            pictures, `screen`, or an address: `rtsp://`, `http://`, `csi://`, `gst:` or what a
            registered scheme takes.
        options: how to open it.

    Raises:
        UserError: it is empty, or nothing is there, or nothing that can be read; or it cannot
            honour an option.
        DeviceError: there is no such camera, or it cannot be opened.
    """
    from edgecat_runtime.camera import sources

    text = str(text)
    if not text:  # else the current folder, as of an empty path
        raise UserError(f"--source is empty; expected {SOURCES}. Is a shell variable unset?")
    if re.fullmatch(r"[0-9]+|/dev/video[0-9]+", text) or Path(text).is_char_device():
        return sources.open_webcam(text, options)
    match = _SCHEME.match(text)
    if text in sources.WORDS and not Path(text).exists():
        return sources.WORDS[text](text, options)
    if match is None or (Path(text).exists() and "://" not in text):
        return sources.open_file(text, options)
    known = {**sources.SCHEMES, **_SCHEMES}
    if match[1].lower() not in known:
        others = "".join(f", or {scheme}:..." for scheme in sorted(known))
        raise UserError(
            f"source {redacted(text)!r} has an unknown scheme; expected {SOURCES}{others}. Others "
            "are added with edgecat_runtime.camera.source.register_source"
        )
    return known[match[1].lower()](text, options)


def redacted(text: str) -> str:
    """Return an address or pipeline with its user, password and keys replaced by `***`."""
    return _SECRET.sub(r"\1***", _PASSWORD.sub("***@", text))
