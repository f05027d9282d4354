"""A deployed graph in some 200 bytes, put together by hand, so that no onnx package is needed.

Source: onnx.proto3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecat_runtime.errors import UserError

if TYPE_CHECKING:
    from edgecat_runtime.tensorrt_api import TensorRT

SIDE, CLASSES = 4, 3


def tiny_engine(api: TensorRT) -> memoryview:
    """Build an engine of `tiny_graph` for batches of one, on the thread's GPU.

    Raises:
        UserError: TensorRT refuses it.
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
    """A deployed graph in 150 bytes, put together by hand: the mean of each colour.

    Input `frames` uint8 (batch, 4, 4, 3), output `logits` float32 (batch, 3): Cast, ReduceMean.
    Source: onnx.proto3.
    """
    uint8, float32 = 2, 1
    cast = _node("Cast", "frames", "f", _text(1, "to") + _int(3, float32) + _int(20, 2))
    axes = _text(1, "axes") + _int(8, 1) + _int(8, 2) + _int(20, 7)
    keep = _text(1, "keepdims") + _int(3, 0) + _int(20, 2)
    mean = _node("ReduceMean", "f", "logits", axes, keep)
    graph = (
        cast
        + mean
        + _text(2, "tiny")
        + _value(11, "frames", uint8, "batch", 4, 4, 3)
        + _value(12, "logits", float32, "batch", 3)
    )
    opset = _bytes(8, _int(2, 13))
    return _int(1, 8) + _bytes(7, graph) + opset


def _node(kind: str, source: str, target: str, *attributes: bytes) -> bytes:
    listed = b"".join(_bytes(5, attribute) for attribute in attributes)
    return _bytes(1, _text(1, source) + _text(2, target) + _text(4, kind) + listed)


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
