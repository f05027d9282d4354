"""Deployed graphs of a few nodes, encoded by hand so that the onnx package is not needed.

Source: onnx.proto3.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from edgecat_runtime.errors import UserError
from edgecat_runtime.model.protobuf import delimited, integer

if TYPE_CHECKING:
    from edgecat_runtime.nvidia.tensorrt import TensorRT

SIDE, CLASSES = 4, 3
_FLOAT, _UINT8, _INT8 = 1, 2, 3  # TensorProto.DataType


def tiny_engine(api: TensorRT) -> memoryview:
    """Build an engine of `tiny_graph` for batches of one, on the thread's GPU.

    Raises:
        UserError: TensorRT rejects it.
    """
    builder = api.trt.Builder(api.logger)
    network = builder.create_network(api.network_flags)
    parser = api.trt.OnnxParser(network, api.logger)
    config = builder.create_builder_config()
    api.make_capturable(config)
    profile = builder.create_optimization_profile()
    profile.set_shape("frames", *[(1, SIDE, SIDE, CLASSES)] * 3)
    config.add_optimization_profile(profile)
    parsed = parser.parse(tiny_graph())
    plan = builder.build_serialized_network(network, config) if parsed else None
    if plan is None:
        raise UserError(f"{api} cannot build a tiny engine: {api.log.first_error}")
    return memoryview(plan)


def tiny_graph() -> bytes:
    """A deployed graph: the mean of each colour.

    Input `frames` uint8 (batch, 4, 4, 3), output `logits` float32 (batch, 3): Cast, ReduceMean.
    """
    mean = _node("ReduceMean", "f", "logits", _ints("axes", 1, 2), _number("keepdims", 0))
    return _model(_node("Cast", "frames", "f", _number("to", _FLOAT)) + mean)


def int8_graph(weight: int) -> bytes:
    """An int8 deployed graph whose products are all as large as this weight allows.

    Frames of 255 stay 255 through two convolutions, 3 to 16 channels (1x1) and 16 to 16 (4x4),
    and a dense layer sums 16 of them with weights +w, with -w and with alternating signs. The
    scales avoid rounding, so `int8_logits` is the exact result. A kernel that adds two products in
    16 bits is off by half when they exceed 32,767: 2 * 255 * w for w > 64.

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
    """The exact output of `int8_graph` for frames of 255, computed with integers."""
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
    return (
        integer(1, 8)
        + delimited(7, graph + _text(2, "tiny") + values)
        + delimited(8, integer(2, 13))
    )


def _node(kind: str, sources: str, target: str, *attributes: bytes) -> bytes:
    inputs = b"".join(_text(1, source) for source in sources.split())
    listed = b"".join(delimited(5, attribute) for attribute in attributes)
    return delimited(1, inputs + _text(2, target) + _text(4, kind) + listed)


def _number(name: str, value: int) -> bytes:
    return _text(1, name) + integer(3, value) + integer(20, 2)


def _ints(name: str, *values: int) -> bytes:
    return _text(1, name) + b"".join(integer(8, value) for value in values) + integer(20, 7)


def _tensor(name: str, kind: int, shape: tuple[int, ...], data: bytes) -> bytes:
    sizes = b"".join(integer(1, size) for size in shape)
    return delimited(5, sizes + integer(2, kind) + _text(8, name) + delimited(9, data))


def _value(field: int, name: str, kind: int, *shape: int | str) -> bytes:
    sizes = (_text(2, size) if isinstance(size, str) else integer(1, size) for size in shape)
    listed = b"".join(delimited(1, size) for size in sizes)
    return delimited(
        field, _text(1, name) + delimited(2, delimited(1, integer(1, kind) + delimited(2, listed)))
    )


def _text(field: int, text: str) -> bytes:
    return delimited(field, text.encode())
