"""The structure of an ONNX file, checked before any native parser sees it.

Native parsers trust a tensor's shape: where it promises more values than the file holds, they read
beyond their memory. External data would be read from wherever the file says.

Source: onnx.proto3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from mmap import mmap

import numpy as np

from edgecat_runtime.model.card import CardError, ModelCard
from edgecat_runtime.model.protobuf import fields, varint, varints

NEWEST_OPSET = 100
"""Far above any operator set; a loader that counts up or down to 2**31 hangs."""

_MOST_FIELDS = 1_000_000
_DEEPEST = 24

# What is walked into, by the field numbers of each message.
CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 8: "opset", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 9: "opset", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
# Of these a message has at most one: parsers merge several, and each alone may look right.
_ONCE = {"model": {7}, "attribute": {5, 6, 22}, "sparse": {1, 2}}

_DIMS, _TYPE, _STRINGS, _RAW, _EXTERNAL, _LOCATION = 1, 2, 6, 9, 13, 14
_STRING = 8
_GRAPH, _INPUT, _VALUE_TYPE, _TENSOR_TYPE, _SHAPE = 7, 11, 2, 1, 2
# Bits of one value, by `TensorProto.DataType`.
_BITS = {
    **dict.fromkeys((1, 6, 12), 32),
    **dict.fromkeys((2, 3, 9, 17, 18, 19, 20, 24), 8),
    **dict.fromkeys((4, 5, 10, 16), 16),
    **dict.fromkeys((7, 11, 13, 14), 64),
    15: 128,
    **dict.fromkeys((21, 22, 23), 4),
    **dict.fromkeys((25, 26), 2),
}
# Fields with one value each: their width in bytes, 0 for numbers of variable length.
_TYPED = {4: 4, 5: 0, 7: 0, 10: 8, 11: 0}


def check_structure(source: bytes | mmap, name: str) -> None:
    """Check what the parts of an ONNX model promise against what is there.

    Args:
        source: the serialised `ModelProto`.
        name: of the model, for messages.

    Raises:
        CardError: a tensor whose shape does not match its data, or whose data is in another file;
            an operator set outside 1..100; nested too deeply or too many parts; not a protobuf
            message.
    """
    try:
        _Walk(source, name).message("model", 0, len(source), 0)
    except ValueError as error:
        raise _malformed(name) from error


def _malformed(name: str) -> CardError:
    return CardError(f"{name} is not a well-formed ONNX model. Copy it again or export it again")


def messages(
    source: bytes | mmap, kind: str, start: int, end: int
) -> Iterator[tuple[str, int, int]]:
    """Every `node` and `tensor` below a message of a kind: which, its start and its end.

    Tensors that are attributes belong to their node.
    """
    for number, _, body, stop in fields(source, start, end):
        child = CHILDREN.get(kind, {}).get(number)
        if child in ("node", "tensor") and kind != "attribute":
            yield child, body, stop
        if child is not None and child in CHILDREN:
            yield from messages(source, child, body, stop)


class _Walk:
    """One pass over a model."""

    def __init__(self, source: bytes | mmap, name: str) -> None:
        self._source, self._name = source, name
        self._left = _MOST_FIELDS

    def message(self, kind: str, start: int, end: int, depth: int) -> None:
        """Walk one message and everything below it."""
        if depth > _DEEPEST:
            raise self._fault("is nested too deeply")
        if kind == "tensor":
            return self._tensor(start, end)
        if kind == "opset":
            return self._opset(start, end)
        children, once = CHILDREN[kind], set(_ONCE.get(kind, ()))
        seen: set[int] = set()
        for number, _, body, stop in fields(self._source, start, end):
            self._count()
            if number in once and number in seen:
                raise self._fault(f"has a second {children[number]} where one is allowed")
            seen.add(number)
            if number in children:
                self.message(children[number], body, stop, depth + 1)
        return None

    def _opset(self, start: int, end: int) -> None:
        for number, _, body, _ in fields(self._source, start, end):
            if number == 2 and not 1 <= varint(self._source, body) <= NEWEST_OPSET:
                raise self._fault(f"has an operator set outside 1..{NEWEST_OPSET}")

    def _tensor(self, start: int, end: int) -> None:
        dims: list[int] = []
        kind, raw, strings = 0, None, 0
        typed: dict[int, int] = {}
        for number, tag, body, stop in fields(self._source, start, end):
            self._count()
            if number == _EXTERNAL or (number == _LOCATION and varint(self._source, body)):
                raise self._fault("keeps weights in another file, which its hash does not cover")
            if number == _DIMS:
                packed = self._source[tag] & 7 == 2
                dims += varints(self._source, body, stop if packed else body + 1)
            elif number == _TYPE:
                kind = varint(self._source, body)
            elif number == _RAW:
                if raw is not None:
                    raise self._fault("has a tensor with two sets of data")
                raw = stop - body
            elif number == _STRINGS:
                strings += 1
            elif number in _TYPED:
                typed[number] = typed.get(number, 0) + self._values(number, tag, body, stop)
        self._check(dims, kind, raw, strings if kind == _STRING else sum(typed.values()))

    def _values(self, number: int, tag: int, body: int, stop: int) -> int:
        """How many numbers a field of typed data holds."""
        if self._source[tag] & 7 != 2:
            return 1
        width = _TYPED[number]
        if width:
            return (stop - body) // width
        return int(np.count_nonzero(np.frombuffer(self._source[body:stop], np.uint8) < 0x80))

    def _check(self, dims: list[int], kind: int, raw: int | None, values: int) -> None:
        if kind != _STRING and kind not in _BITS:
            raise self._fault(f"has a tensor of the unknown type {kind}")
        if any(size >= 1 << 62 for size in dims):
            raise self._fault("has a tensor with a negative size")
        count = math.prod(dims)
        if raw is not None:
            promised, held, unit = -(-count * _BITS.get(kind, 0) // 8), raw, "bytes"
        else:
            parts = 2 if kind in (14, 15) else 1
            packed = max(1, 8 // _BITS.get(kind, 8))
            promised, held, unit = -(-count * parts // packed), values, "values"
        if promised != held or (raw is not None and (kind == _STRING or values)):
            shape = "x".join(map(str, dims[:8])) or "one value"
            raise self._fault(f"has a tensor of {shape} ({promised} {unit}) with {held} {unit}")

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise self._fault(f"has more than {_MOST_FIELDS} parts")

    def _fault(self, what: str) -> CardError:
        return CardError(f"{self._name} {what}. Export it again")


def check_input(source: bytes | mmap, card: ModelCard, name: str) -> None:
    """Check the deployed graph's input against the card, so that no other size is tried.

    Args:
        source: the serialised `ModelProto`, whose structure was checked.
        card: whose height and width hold.
        name: of the model, for messages.

    Raises:
        CardError: the graph has an input of another size than its card.
    """
    expected = (card.height, card.width, 3)
    try:
        shapes = list(_input_shapes(source))
    except ValueError as error:
        raise _malformed(name) from error
    for shape in shapes:
        fixed = [(own, asked) for own, asked in zip(shape[1:], expected, strict=False) if own]
        if shape and (len(shape) != 4 or any(own != asked for own, asked in fixed)):
            raise CardError(
                f"{name} takes {'x'.join(map(str, shape))}; its card says (batch, {card.height}, "
                f"{card.width}, 3). Export it again"
            )


def _input_shapes(source: bytes | mmap) -> Iterator[list[int]]:
    """Sizes of each of the graph's inputs, 0 for those that are free."""
    path = (_GRAPH, _INPUT, _VALUE_TYPE, _TENSOR_TYPE, _SHAPE)
    for start, end in _below(source, path, 0, len(source)):
        shape = []
        for _, _, body, stop in fields(source, start, end):
            sizes = [varint(source, at) for n, _, at, _ in fields(source, body, stop) if n == 1]
            shape.append(sizes[-1] if sizes else 0)
        yield shape


def _below(
    source: bytes | mmap, path: tuple[int, ...], start: int, end: int
) -> Iterator[tuple[int, int]]:
    """Where the messages lie that a path of field numbers leads to."""
    if not path:
        yield start, end
        return
    for number, _, body, stop in fields(source, start, end):
        if number == path[0]:
            yield from _below(source, path[1:], body, stop)
