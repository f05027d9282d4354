"""JPEG images extracted from a byte stream, whatever is between them."""

from __future__ import annotations

import re

LARGEST = 32 << 20

_START = b"\xff\xd8\xff"
# In compressed data FF is followed by 00 or a restart marker; anything else is the next marker.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_SOI, _SOS, _APP0 = 0xD8, 0xDA, 0xE0


class JpegStream:
    """Splits a stream into JPEG images by walking through their segments (ITU-T T.81, annex B).

    Boundaries and lengths that a server writes around its images are ignored, so they may be wrong.
    A truncated image ends where the next one starts, and is dropped.

    Attributes:
        damaged: number of image starts that were false or had no end.
    """

    def __init__(self) -> None:
        self.damaged = 0
        self._buffer = bytearray()
        self._walked = 0  # how far the image at the start of the buffer has been checked
        self._inside = False  # compressed data, after a start of scan

    def feed(self, data: bytes) -> list[bytes]:
        """Add the next bytes and return the images that they complete, oldest first."""
        self._buffer += data
        found = []
        while self._seek() and (end := self._walk()) is not None:
            if end > 0:
                found.append(bytes(self._buffer[:end]))
            else:
                self.damaged += 1
            self._drop(abs(end))
        if len(self._buffer) > LARGEST:
            self.damaged += 1
            self._drop(len(self._buffer))
        return found

    def _seek(self) -> bool:
        """Move the start of an image to the start of the buffer; return whether there is one."""
        if self._walked:
            return True
        at = self._buffer.find(_START)
        if at < 0:
            self._drop(max(0, len(self._buffer) - len(_START) + 1))
            return False
        self._drop(at)
        self._walked = 2
        return True

    def _walk(self) -> int | None:
        """Return where the first image ends; None if its end has not arrived.

        Negative for a broken image: how many bytes to drop.
        """
        buffer = self._buffer
        while True:
            if self._inside and not self._skip_compressed():
                return None
            here = self._walked
            if buffer[here : here + 2] == b"\xff\xd9":
                return here + 2
            if len(buffer) < here + 4:
                return None
            marker = buffer[here + 1]
            length = int.from_bytes(buffer[here + 2 : here + 4], "big")
            if marker == _SOI:  # the next image: this one is truncated
                return -here
            if buffer[here] != 0xFF or marker < 0xC0 or length < 2:
                return -len(_START)
            end = here + (2 + length if marker != 0xFF else 1)
            if marker < _APP0:  # a table: an image start in it means it is truncated
                if len(buffer) < end + 2:
                    return None
                if (cut := buffer.find(_START, here + 2, end + 2)) >= 0:
                    return -cut
            self._walked = end
            self._inside = marker == _SOS

    def _skip_compressed(self) -> bool:
        """Advance to the marker after the compressed data; return whether it has arrived."""
        match = _MARKER.search(self._buffer, self._walked)
        self._walked = match.start() if match else max(self._walked, len(self._buffer) - 1)
        self._inside = match is None
        return not self._inside

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._walked, self._inside = 0, False
