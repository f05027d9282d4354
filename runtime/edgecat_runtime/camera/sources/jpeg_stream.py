"""JPEG pictures found in a stream of bytes, whatever stands between them."""

from __future__ import annotations

import re

LARGEST = 32 << 20

_START = b"\xff\xd8\xff"
# In compressed data FF is followed by 00 or a restart; anything else is the next marker.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_SOI, _SOS, _APP0 = 0xD8, 0xDA, 0xE0


class JpegStream:
    """Cuts a stream into JPEG pictures by walking through their segments (ITU-T T.81, annex B).

    Boundaries and lengths that a server writes around its pictures are not needed, so none can be
    wrong. A picture that is cut short ends where the next one starts, and is dropped.

    Attributes:
        damaged: starts of pictures that were none, or had no end.
    """

    def __init__(self) -> None:
        self.damaged = 0
        self._buffer = bytearray()
        self._walked = 0  # how far the picture at the start of the buffer is known to be whole
        self._inside = False  # compressed data, after a start of scan

    def feed(self, data: bytes) -> list[bytes]:
        """Take in the next bytes and return the pictures that they complete, oldest first."""
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
        """Bring the start of a picture to the start of the buffer; whether there is one."""
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
        """Return where the first picture ends, None if that is yet to come.

        Negative for a broken one: how much of it to drop.
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
            if marker == _SOI:  # the next picture: this one was cut
                return -here
            if buffer[here] != 0xFF or marker < 0xC0 or length < 2:
                return -len(_START)
            end = here + (2 + length if marker != 0xFF else 1)
            if marker < _APP0:  # a table: the start of a picture in it means that it was cut
                if len(buffer) < end + 2:
                    return None
                if (cut := buffer.find(_START, here + 2, end + 2)) >= 0:
                    return -cut
            self._walked = end
            self._inside = marker == _SOS

    def _skip_compressed(self) -> bool:
        """Go on to the marker behind the compressed data; whether it has arrived."""
        match = _MARKER.search(self._buffer, self._walked)
        self._walked = match.start() if match else max(self._walked, len(self._buffer) - 1)
        self._inside = match is None
        return not self._inside

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._walked, self._inside = 0, False
