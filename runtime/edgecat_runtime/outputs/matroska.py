"""A Matroska writer for JPEG images (RFC 9559): playable up to the last frame at any moment.

OpenCV's own writer hides a full disk, buffers seconds of video in memory, supports only a constant
frame rate and takes four times as long to encode a JPEG as `cv2.imencode` does.
"""

from __future__ import annotations

import errno
import os
import struct
from array import array
from pathlib import Path

_UNKNOWN = b"\x01" + b"\xff" * 7  # a size that is filled in at the end
_CLUSTER_MS = 5_000
_SEEK_HEAD_BYTES = 64
_TIMESTAMP_NS = 1_000_000  # timestamps are in milliseconds

_EBML, _SEGMENT, _VOID = 0x1A45DFA3, 0x18538067, 0xEC
_SEEK_HEAD, _SEEK, _SEEK_ID, _SEEK_POSITION = 0x114D9B74, 0x4DBB, 0x53AB, 0x53AC
_INFO, _TIMESTAMP_SCALE, _DURATION, _MUXER, _WRITER = 0x1549A966, 0x2AD7B1, 0x4489, 0x4D80, 0x5741
_TRACKS, _TRACK, _TRACK_NUMBER, _TRACK_UID, _TRACK_TYPE = 0x1654AE6B, 0xAE, 0xD7, 0x73C5, 0x83
_LACING, _CODEC, _FRAME_NS, _VIDEO, _WIDTH, _HEIGHT = 0x9C, 0x86, 0x23E383, 0xE0, 0xB0, 0xBA
_CLUSTER, _TIMESTAMP, _SIMPLE_BLOCK = 0x1F43B675, 0xE7, 0xA3
_CUES, _CUE, _CUE_TIME, _CUE_PLACE = 0x1C53BB6B, 0xBB, 0xB3, 0xB7
_CUE_TRACK, _CUE_CLUSTER = 0xF7, 0xF1


class MatroskaWriter:
    """Writes a `.mkv` of JPEG images (codec `V_MJPEG`).

    Each image is passed to the operating system at once, so a killed program loses none. `close`
    adds what a player needs to seek quickly: duration, sizes and an index.

    Args:
        path: overwritten.
        width: of the images, in pixels.
        height: of the images, in pixels.
        fps: the constant frame rate; 0 for a variable one.

    Raises:
        OSError: the file cannot be written; `write` also raises it when the disk is full. What was
            written up to then stays playable.
    """

    def __init__(self, path: str | Path, *, width: int, height: int, fps: float = 0.0) -> None:
        self._file = Path(path).open("wb", buffering=0)  # noqa: SIM115
        self._frame_ms = 1000 / fps if fps else 0.0
        self._time, self._gap = -1, 0
        self._cluster_at = self._cluster_time = 0
        self._cues = array("Q")  # time and position of each cluster, alternating
        try:
            self._write_header(width, height, fps)
        except OSError:
            self._file.close()
            raise

    def write(self, jpeg: bytes, seconds: float) -> None:
        """Append one image.

        Args:
            jpeg: the encoded image, of the given size.
            seconds: since the first image; a time that does not increase is moved by a millisecond.
        """
        last, self._time = self._time, max(round(seconds * 1000), self._time + 1)
        self._gap = self._time - last
        if not self._cues or self._time - self._cluster_time > _CLUSTER_MS:
            self._begin_cluster()
        offset = struct.pack(">h", self._time - self._cluster_time)
        self._append(_element(_SIMPLE_BLOCK, b"\x81" + offset + b"\x80" + jpeg))

    def close(self) -> None:
        """Write duration and index and close the file; calling it twice is harmless.

        Raises:
            OSError: these could not be written; the images are safe.
        """
        if self._file.closed:
            return
        try:
            if self._cues:
                self._finish()
        finally:
            self._file.close()

    def _write_header(self, width: int, height: int, fps: float) -> None:
        kind = _uint(0x4286, 1) + _uint(0x42F7, 1) + _uint(0x42F2, 4) + _uint(0x42F3, 8)
        kind += _element(0x4282, b"matroska") + _uint(0x4287, 4) + _uint(0x4285, 2)
        self._append(_element(_EBML, kind) + _id(_SEGMENT) + _UNKNOWN)
        self._segment_at = self._file.tell()
        self._append(_void(_SEEK_HEAD_BYTES))
        info = _uint(_TIMESTAMP_SCALE, _TIMESTAMP_NS) + _element(_MUXER, b"edgecat")
        info += _element(_WRITER, b"edgecat") + _element(_DURATION, struct.pack(">d", 0.0))
        self._append(_element(_INFO, info))
        self._duration_at = self._file.tell() - 8
        size = _uint(_WIDTH, width) + _uint(_HEIGHT, height)
        track = _uint(_TRACK_NUMBER, 1) + _uint(_TRACK_UID, 1) + _uint(_TRACK_TYPE, 1)
        track += _uint(_LACING, 0) + _element(_CODEC, b"V_MJPEG") + _element(_VIDEO, size)
        track += _uint(_FRAME_NS, round(1e9 / fps)) if fps else b""
        self._append(_element(_TRACKS, _element(_TRACK, track)))

    def _begin_cluster(self) -> None:
        self._end_cluster()
        self._cluster_at = self._file.tell()
        self._cluster_time = self._time
        self._append(_id(_CLUSTER) + _UNKNOWN + _uint(_TIMESTAMP, self._time))
        self._cues.extend((self._time, self._cluster_at - self._segment_at))

    def _end_cluster(self) -> None:
        if self._cues:
            self._fill_in(self._cluster_at + 4, _size(self._file.tell() - self._cluster_at - 12, 8))

    def _finish(self) -> None:
        """Write what is only known at the end; in place first, since that needs no disk space."""
        self._end_cluster()
        duration = self._time + (self._frame_ms or self._gap)
        self._fill_in(self._duration_at, struct.pack(">d", duration))
        cues_at = self._file.tell() - self._segment_at
        self._append(_element(_CUES, b"".join(map(_cue, self._cues[::2], self._cues[1::2]))))
        self._fill_in(self._segment_at - 8, _size(self._file.tell() - self._segment_at, 8))
        seek = _element(_SEEK_ID, _id(_CUES)) + _uint(_SEEK_POSITION, cues_at)
        head = _element(_SEEK_HEAD, _element(_SEEK, seek))
        self._fill_in(self._segment_at, head + _void(_SEEK_HEAD_BYTES - len(head)))

    def _append(self, data: bytes) -> None:
        """Write all of `data` or none of it."""
        start = self._file.tell()
        try:
            self._write_all(data)
        except OSError:
            self._file.seek(start)
            self._file.truncate()
            raise

    def _fill_in(self, position: int, data: bytes) -> None:
        end = self._file.tell()
        self._file.seek(position)
        self._write_all(data)
        self._file.seek(end)

    def _write_all(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            written = self._file.write(left)
            if not written:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            left = left[written:]


def _id(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _size(number: int, length: int = 0) -> bytes:
    """EBML's variable-length size (RFC 8794, section 4), at least `length` bytes long."""
    length = max(length, -(-(number + 1).bit_length() // 7))
    return ((1 << 7 * length) | number).to_bytes(length, "big")


def _element(number: int, data: bytes) -> bytes:
    return _id(number) + _size(len(data)) + data


def _uint(number: int, value: int) -> bytes:
    return _element(number, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def _void(length: int) -> bytes:
    return _id(_VOID) + _size(length - 9, 8) + bytes(length - 9)


def _cue(time: int, position: int) -> bytes:
    place = _uint(_CUE_TRACK, 1) + _uint(_CUE_CLUSTER, position)
    return _element(_CUE, _uint(_CUE_TIME, time) + _element(_CUE_PLACE, place))
