"""The properties of a Linux camera, queried through V4L2 without opening a stream.

Numbers and layouts are those of linux/videodev2.h, the same on every architecture.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

_QUERYCAP, _ENUM_FMT, _ENUM_FRAMESIZES = 0x80685600, 0xC0405602, 0xC02C564A
_VIDEO_CAPTURE, _DEVICE_CAPS = 0x1, 0x80000000
_DISCRETE = 1
_MOST = 256  # limit for drivers that never end their list

Ask = Callable[[int, bytes], bytes]


def describe(path: Path) -> tuple[str, tuple[str, ...]] | None:
    """Return a device's name and frame sizes such as `1280x720`; None if it is not a camera.

    Raises:
        OSError: it cannot be opened.
    """
    import fcntl

    device = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        return answers(lambda code, data: fcntl.ioctl(device, code, data))
    finally:
        os.close(device)


def answers(ask: Ask) -> tuple[str, tuple[str, ...]] | None:
    """Return the result of `describe` for a device that is queried with `ask(code, data)`."""
    try:
        told = ask(_QUERYCAP, bytes(104))
    except OSError:
        return None
    card = told[16:48].partition(b"\0")[0].decode(errors="replace")
    capabilities, of_this_node = struct.unpack_from("=2I", told, 84)
    if capabilities & _DEVICE_CAPS:  # a camera has additional nodes for metadata
        capabilities = of_this_node
    if not capabilities & _VIDEO_CAPTURE:
        return None
    sizes = {size for pixels in _formats(ask) for size in _sizes(ask, pixels)}
    return card, tuple(f"{width}x{height}" for width, height in sorted(sizes))


def _formats(ask: Ask) -> Iterator[int]:
    for told in _listed(ask, _ENUM_FMT, lambda index: struct.pack("=2I56x", index, 1)):
        yield struct.unpack_from("=I", told, 44)[0]


def _sizes(ask: Ask, pixels: int) -> Iterator[tuple[int, int]]:
    for told in _listed(ask, _ENUM_FRAMESIZES, lambda index: struct.pack("=2I36x", index, pixels)):
        kind, first, second = struct.unpack_from("=3I", told, 8)
        if kind == _DISCRETE:
            yield first, second
        else:  # minimum, maximum and step of the width, then of the height
            yield second, struct.unpack_from("=I", told, 28)[0]
            yield first, struct.unpack_from("=I", told, 24)[0]
            return


def _listed(ask: Ask, code: int, question: Callable[[int], bytes]) -> Iterator[bytes]:
    with suppress(OSError):  # the driver ends its list with an error
        for index in range(_MOST):
            yield ask(code, question(index))
