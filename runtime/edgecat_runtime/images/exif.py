"""The EXIF orientation of PNG and WebP files, which not every OpenCV applies."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_PNG = b"\x89PNG\r\n\x1a\n"
_ORIENTATION = 0x0112  # of the first directory (Exif 3.0, 4.6.5)


def chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield type and content of each whole chunk of a PNG or WebP file.

    Sources: PNG (third edition) 5.3; WebP container, RIFF.
    """
    png, view = data.startswith(_PNG), memoryview(data)
    position, layout, extra = (8, ">I4s", 4) if png else (12, "<4sI", 0)
    if not png and (data[:4], data[8:12]) != (b"RIFF", b"WEBP"):
        return
    while position + 8 <= len(data):
        first, second = struct.unpack_from(layout, data, position)
        size, kind = (first, second) if png else (second, first)
        end = position + 8 + size + extra
        if end > len(data):
            return
        yield kind, view[position + 8 : position + 8 + size]
        position = end + (0 if png else size % 2)


def is_intact(data: bytes) -> bool:
    """Whether the checksums of a PNG's critical chunks are right; True for other files.

    libpng would print a line about each that is not.
    """
    position = 8
    for kind, content in chunks(data) if data.startswith(_PNG) else ():
        end = position + 8 + len(content)
        expected = int.from_bytes(data[end : end + 4], "big")
        if kind[:1].isupper() and zlib.crc32(content, zlib.crc32(kind)) != expected:
            return False
        if kind == b"IEND":
            break
        position = end + 4
    return True


def orientation(data: bytes) -> int:
    """The orientation, 1 to 8, of a PNG or WebP file; 1 (upright) where none is given."""
    found = dict(chunks(data))
    exif = bytes(found.get(b"eXIf", found.get(b"EXIF", b""))).removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", exif, 4)
        (entries,) = struct.unpack_from(order + "H", exif, start)
        for number in range(entries):
            tag, _, _, value = struct.unpack_from(order + "HHIH", exif, start + 2 + 12 * number)
            if tag == _ORIENTATION:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1


def upright(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn an image (h, w, channels) as its orientation, 1 to 8, says."""
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)
