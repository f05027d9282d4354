"""Protobuf messages, read and written as far as an ONNX file needs it.

Source: https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from mmap import mmap
from typing import Any, BinaryIO


def fields(
    source: bytes | mmap | BinaryIO, position: int = 0, stop: int | None = None
) -> Iterator[tuple[int, int, int, int]]:
    """Walk a message.

    Args:
        source: the message, or a file that holds it.
        position: where it begins, in bytes.
        stop: where it ends; None for the end of the source.

    Yields:
        Field number, start of the tag, start of the body, end: positions in bytes.

    Raises:
        ValueError: it is not a message, or is truncated.
    """
    read = _reader(source)
    if stop is None:
        stop = len(source) if isinstance(source, bytes | mmap) else source.seek(0, 2)
    while position < stop:
        tag, body = _varint(read(position, 10), position)
        kind = tag & 7
        if kind == 2:
            length, body = _varint(read(body, 10), body)
            end = body + length
        elif kind == 0:
            end = _varint(read(body, 10), body)[1]
        elif kind in (1, 5):
            end = body + (8 if kind == 1 else 4)
        else:
            raise ValueError("unknown wire type")
        if end > stop or tag < 8:
            raise ValueError("truncated message")
        yield tag >> 3, position, body, end
        position = end


def varint(source: bytes | mmap, position: int) -> int:
    """Read one number. Raises ValueError if it is truncated."""
    return _varint(source[position : position + 10], position)[0]


def varints(source: bytes | mmap, position: int, stop: int) -> list[int]:
    """Read the numbers of a packed field that ends at `stop`. Raises ValueError if truncated."""
    values = []
    while position < stop:
        value, position = _varint(source[position : position + 10], position)
        values.append(value)
    return values


def _reader(source: bytes | mmap | BinaryIO) -> Any:
    if isinstance(source, bytes | mmap):
        return lambda start, count: source[start : start + count]

    def read(start: int, count: int) -> bytes:
        source.seek(start)
        return source.read(count)

    return read


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(data[:10]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise ValueError("truncated number")


def delimited(number: int, body: bytes) -> bytes:
    """Encode a field that holds bytes, a text or a message."""
    return _encoded(number << 3 | 2) + _encoded(len(body)) + body


def integer(number: int, value: int) -> bytes:
    """Encode a field that holds a whole number from 0 on."""
    return _encoded(number << 3) + _encoded(value)


def _encoded(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
