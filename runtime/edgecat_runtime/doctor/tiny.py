"""Deployed graphs of a few nodes, put together by hand, so that no onnx package is needed.

Source: onnx.proto3.
"""

from __future__ import annotations

import struct

_FLOAT, _UINT8, _INT8 = 1, 2, 3  # TensorProto.DataType


def tiny_graph() -> bytes:
    """A deployed graph in 150 bytes: the mean of each colour.

    Input `frames` uint8 (batch, 4, 4, 3), output `logits` float32 (batch, 3): Cast, ReduceMean.
    """
    mean = _node("ReduceMean", "f", "logits", _ints("axes", 1, 2), _number("keepdims", 0))
    return _model(_node("Cast", "frames", "f", _number("to", _FLOAT)) + mean)


def int8_graph(weight: int) -> bytes:
    """A deployed graph in int8, every product of which is as large as it can be with this weight.

    Frames of 255 stay 255 through two convolutions, 3 to 16 channels (1x1) and 16 to 16 (4x4),
    and a dense layer adds 16 of them up with weights +w, with -w and with both by turns. Scales
    are such that nothing is rounded away: `int8_logits` is the exact answer. A kernel that adds
    two products in 16 bits is wrong by a half where they exceed 32,767: 2 * 255 * w for w > 64.

    Args:
        weight: w, from 1 to 127.
    """
    signs = [1, -1, 1, 1, -1, -1] * 8  # of 16 activations each, for three classes
    layers = (
        _layer("Conv", "x0", "y1", [weight] * 48, (16, 3, 1, 1), 1 / (3 * weight)),
        _layer("Conv", "x1", "y2", [weight] * 4096, (16, 16, 4, 4), 1 / (256 * weight)),
        _layer("MatMul", "x3", "logits", [weight * s for s in signs], (16, 3), 1 / (16 * weight)),
    )
    nodes = (
        _node("Cast", "frames", "f", _number("to", _FLOAT)),
        _node("Transpose", "f", "y0", _ints("perm", 0, 3, 1, 2)),
        _quantised("y0", "x0"),
        layers[0],
        _quantised("y1", "x1"),
        layers[1],
        _quantised("y2", "x2"),
        _node("Flatten", "x2", "y3"),
        _quantised("y3", "x3"),
        layers[2],
    )
    unit = _tensor("unit", _FLOAT, (), struct.pack("<f", 1)) + _tensor("zero", _UINT8, (), b"\0")
    return _model(b"".join(nodes) + unit)


def int8_logits(weight: int) -> tuple[int, int, int]:
    """The exact answer of `int8_graph` to frames of 255, worked out with whole numbers."""
    pixel = 255
    first = 3 * pixel * weight // (3 * weight)
    second = 256 * first * weight // (256 * weight)
    total = sum(second * weight for _ in range(16))
    return total // (16 * weight), -total // (16 * weight), 0


def _layer(
    kind: str, source: str, target: str, weights: list[int], shape: tuple[int, ...], scale: float
) -> bytes:
    """A layer with int8 weights, and its tensors."""
    name = f"{target}_"
    return (
        _node("DequantizeLinear", f"{name}w {name}s {name}z", f"{name}d")
        + _node(kind, f"{source} {name}d", target)
        + _tensor(f"{name}w", _INT8, shape, struct.pack(f"<{len(weights)}b", *weights))
        + _tensor(f"{name}s", _FLOAT, (), struct.pack("<f", scale))
        + _tensor(f"{name}z", _INT8, (), b"\0")
    )


def _quantised(source: str, target: str) -> bytes:
    """A tensor as uint8, and back: activations between two layers in int8."""
    quantised = _node("QuantizeLinear", f"{source} unit zero", f"{target}_q")
    return quantised + _node("DequantizeLinear", f"{target}_q unit zero", target)


def _model(graph: bytes) -> bytes:
    values = _value(11, "frames", _UINT8, "batch", 4, 4, 3) + _value(
        12, "logits", _FLOAT, "batch", 3
    )
    return _int(1, 8) + _bytes(7, graph + _text(2, "tiny") + values) + _bytes(8, _int(2, 13))


def _node(kind: str, sources: str, target: str, *attributes: bytes) -> bytes:
    inputs = b"".join(_text(1, source) for source in sources.split())
    listed = b"".join(_bytes(5, attribute) for attribute in attributes)
    return _bytes(1, inputs + _text(2, target) + _text(4, kind) + listed)


def _number(name: str, value: int) -> bytes:
    return _text(1, name) + _int(3, value) + _int(20, 2)


def _ints(name: str, *values: int) -> bytes:
    return _text(1, name) + b"".join(_int(8, value) for value in values) + _int(20, 7)


def _tensor(name: str, kind: int, shape: tuple[int, ...], data: bytes) -> bytes:
    sizes = b"".join(_int(1, size) for size in shape)
    return _bytes(5, sizes + _int(2, kind) + _text(8, name) + _bytes(9, data))


def _value(field: int, name: str, kind: int, *shape: int | str) -> bytes:
    sizes = (_text(2, size) if isinstance(size, str) else _int(1, size) for size in shape)
    listed = b"".join(_bytes(1, size) for size in sizes)
    return _bytes(field, _text(1, name) + _bytes(2, _bytes(1, _int(1, kind) + _bytes(2, listed))))


def _text(field: int, text: str) -> bytes:
    return _bytes(field, text.encode())


def _bytes(field: int, body: bytes) -> bytes:
    size = len(body)  # always two bytes: longer than it need be is allowed
    return bytes([field << 3 | 2, size & 0x7F | 0x80, size >> 7]) + body


def _int(field: int, value: int) -> bytes:
    tag = field << 3
    return bytes([tag] if tag < 0x80 else [tag & 0x7F | 0x80, tag >> 7]) + bytes([value])
