"""Sizes that an ONNX model states as constants, held against limits before it is opened.

A few bytes can ask for any amount of memory or time: the shape of a `ConstantOfShape`, the repeats
of a `Tile`, the trip count of a `Loop`. What a model computes at run time cannot be bounded here.

Source: the operators' definitions, https://onnx.ai/onnx/operators.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from mmap import mmap
from typing import NamedTuple

import numpy as np

from edgecat_runtime.model.card import CardError
from edgecat_runtime.model.protobuf import fields, varint, varints
from edgecat_runtime.model.structure import messages

MOST_VALUES = 1 << 27
"""Values of one tensor: 512 MB as float32."""
MOST_GROWTH = 1 << 10
"""By which the tiles and scales on the way to a tensor may enlarge the image."""
MOST_TURNS = 1 << 24
"""Of one loop."""

_SMALL = 64  # values: shapes are short
_INT32, _INT64 = 6, 7
_FLOAT = 1
_TYPES = {_FLOAT: "<f4", 11: "<f8", _INT32: "<i4", _INT64: "<i8"}
Values = Sequence[float]


class Node(NamedTuple):
    """An operator, the names of what it takes and gives, and its attributes that are numbers."""

    operator: bytes
    operands: list[bytes]
    outputs: list[bytes]
    attributes: dict[bytes, Values]


def _product(values: Values) -> float:
    return math.prod(max(1.0, float(value)) for value in values)


def _padded(values: Values) -> float:
    half = len(values) // 2
    return _product([1 + b + e for b, e in zip(values[:half], values[half:], strict=False)])


def _first(values: Values) -> float:
    return float(values[0]) if len(values) else 0.0


# How many values an operand asks for, by its place; then by how much it enlarges what it is given.
_COUNTED: dict[bytes, dict[int, Callable[[Values], float]]] = {
    b"ConstantOfShape": {0: _product},
    b"Expand": {1: _product},
    b"Resize": {3: _product},
    b"Pad": {1: _padded},
    b"OneHot": {1: _first},
    b"HannWindow": {0: _first},
    b"HammingWindow": {0: _first},
    b"BlackmanWindow": {0: _first},
}
_ENLARGED: dict[bytes, tuple[int, ...]] = {b"Tile": (1,), b"Resize": (1, 2), b"Upsample": (1,)}
# The same for attributes.
_COUNTED_ATTRIBUTES: dict[bytes, Callable[[Values], float]] = {
    b"pads": _padded,
    b"paddings": _padded,
    b"output_padding": _product,
    b"output_shape": _product,
    b"shape": _product,
    b"dilations": _product,
    b"kernel_shape": _product,
}
_ENLARGED_ATTRIBUTES = {b"ConvTranspose": b"strides", b"Upsample": b"scales", b"Resize": b"scales"}
_REDUCED = (b"Conv", b"ConvInteger", b"QLinearConv", b"MaxPool", b"AveragePool", b"LpPool")


def check_sizes(source: bytes | mmap, name: str) -> None:
    """Check the sizes that a model states as constants.

    Args:
        source: the serialised `ModelProto`, whose structure was checked.
        name: of the model, for messages.

    Raises:
        CardError: a tensor of more than 2**27 values, all of more than 2**28, an image enlarged
            more than 2**10 times, or a loop of more than 2**24 turns.
    """
    constants: dict[bytes, list[Values]] = {}
    nodes: list[Node] = []
    try:
        for kind, start, end in messages(source, "model", 0, len(source)):
            if kind == "node":
                node = _node(source, start, end)
                nodes.append(node)
                if node.operator == b"Constant":
                    for label in node.outputs:
                        constants.setdefault(label, []).extend(node.attributes.values())
            else:
                label, values = _tensor(source, start, end)
                constants.setdefault(label, []).append(values)
    except ValueError as error:
        raise CardError(f"{name} is not a well-formed ONNX model. Export it again") from error
    grown: dict[bytes, float] = {}
    total = 0.0
    for node in nodes:
        asked = _asked(node, constants)
        total += asked
        reason = _fault(node, constants, asked, total)
        growth = max((grown.get(operand, 1.0) for operand in node.operands), default=1.0)
        growth = max(1.0, growth * _growth(node, constants))
        if not reason and growth > MOST_GROWTH:
            operator = node.operator.decode("ascii", "replace")
            reason = (
                f"enlarges its image {growth:.3g} times in {operator}; expected at most "
                f"{MOST_GROWTH}"
            )
        if reason:
            raise CardError(f"{name} {reason}. Export it again")
        grown.update(dict.fromkeys(node.outputs, growth))


def _fault(node: Node, constants: dict[bytes, list[Values]], asked: float, total: float) -> str:
    """What is too large about a node, or all up to it; empty if nothing is."""
    if asked > MOST_VALUES:
        operator = node.operator.decode("ascii", "replace")
        return f"asks for {asked:.3g} values in one {operator}; expected at most {MOST_VALUES}"
    if total > 2 * MOST_VALUES:
        return f"asks for {total:.3g} values; expected at most {2 * MOST_VALUES}"
    turns = [_first(v) for v in _operand(node, 0, constants)] if node.operator == b"Loop" else []
    if max(turns, default=0.0) > MOST_TURNS:
        return f"repeats a loop {max(turns):.3g} times; expected at most {MOST_TURNS}"
    return ""


def _asked(node: Node, constants: dict[bytes, list[Values]]) -> float:
    """How many values a node asks for, as far as constants tell."""
    counts = [
        count(values)
        for place, count in _COUNTED.get(node.operator, {}).items()
        for values in _operand(node, place, constants)
    ]
    counts += [
        count(node.attributes[key])
        for key, count in _COUNTED_ATTRIBUTES.items()
        if key in node.attributes
    ]
    if node.operator == b"Tile" and node.operands[:1] and node.operands[0] in constants:
        counts += map(_product, _operand(node, 1, constants))
    if node.operator == b"Range":
        counts += [_steps(node, constants)]
    return max(counts, default=0.0)


def _growth(node: Node, constants: dict[bytes, list[Values]]) -> float:
    """How many times larger a node's output is than its input, as far as constants tell."""
    if node.operator in _REDUCED:
        return 1 / _product(node.attributes.get(b"strides", ()))
    if node.operands[:1] and node.operands[0] in constants:
        return 1.0  # not of the image; `_fault` counts it
    factors = [
        math.prod(values)
        for place in _ENLARGED.get(node.operator, ())
        for values in _operand(node, place, constants)
        if values
    ]
    key = _ENLARGED_ATTRIBUTES.get(node.operator, b"")
    if key in node.attributes:
        factors.append(_product(node.attributes[key]))
    return max(factors, default=1.0)


def _steps(node: Node, constants: dict[bytes, list[Values]]) -> float:
    """The most values that a `Range` whose operands are constants has."""
    start, limit, delta = (
        [_first(values) for values in _operand(node, place, constants)] for place in range(3)
    )
    return max(
        (abs(b - a) / (abs(d) or 1.0) for a in start for b in limit for d in delta), default=0.0
    )


def _operand(node: Node, place: int, constants: dict[bytes, list[Values]]) -> list[Values]:
    """The values of an operand; a name may mean several constants, in several graphs."""
    return constants.get(node.operands[place], []) if place < len(node.operands) else []


def _node(source: bytes | mmap, start: int, end: int) -> Node:
    operator, operands, outputs = b"", list[bytes](), list[bytes]()
    attributes: dict[bytes, Values] = {}
    for number, _, body, stop in fields(source, start, end):
        if number == 1:
            operands.append(bytes(source[body:stop]))
        elif number == 2:
            outputs.append(bytes(source[body:stop]))
        elif number == 4:
            operator = bytes(source[body:stop])
        elif number == 5:
            key, values = _attribute(source, body, stop)
            attributes[key] = values
    return Node(operator, operands, outputs, attributes)


def _attribute(source: bytes | mmap, start: int, end: int) -> tuple[bytes, Values]:
    """An attribute's name, and its numbers as far as they are few."""
    key, values = b"", list[float]()
    for number, tag, body, stop in fields(source, start, end):
        if number == 1:
            key = bytes(source[body:stop])
        elif number == 3:
            values.append(_signed(varint(source, body)))
        elif number == 5:
            values += _tensor(source, body, stop)[1]
        elif number in (7, 8) and len(values) <= _SMALL:
            values += _numbers(source, number == 8, tag, body, stop)
    return key, values


def _tensor(source: bytes | mmap, start: int, end: int) -> tuple[bytes, Values]:
    """A tensor's name, and its values if they are numbers, and few."""
    label, kind, raw, values = b"", 0, b"", list[float]()
    for number, tag, body, stop in fields(source, start, end):
        if number == 2:
            kind = varint(source, body)
        elif number == 8:
            label = bytes(source[body:stop])
        elif number == 9 and stop - body <= 8 * _SMALL:
            raw = bytes(source[body:stop])
        elif number in (4, 5, 7) and len(values) <= _SMALL:
            values += _numbers(source, number != 4, tag, body, stop)
    if raw and kind in _TYPES:
        values = np.frombuffer(raw, _TYPES[kind]).tolist()
    return label, [value for value in values[:_SMALL] if math.isfinite(value)]


def _numbers(source: bytes | mmap, whole: bool, tag: int, body: int, stop: int) -> list[float]:
    """The numbers of a field, packed or not: whole ones of variable length, or float32."""
    packed = source[tag] & 7 == 2
    if packed and stop - body > 10 * _SMALL:
        return []
    if whole:
        found = varints(source, body, stop) if packed else [varint(source, body)]
        return [float(_signed(value)) for value in found]
    return [float(value) for value in np.frombuffer(bytes(source[body:stop]), "<f4")]


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
