"""A deployed graph in some 200 bytes, put together by hand, so that no onnx package is needed.

Source: onnx.proto3.
"""

from __future__ import annotations

from edgecat_runtime.model.protobuf import delimited, integer


def tiny_graph() -> bytes:
    """A deployed graph put together by hand: the mean of each colour.

    Input `frames` uint8 (batch, 4, 4, 3), output `logits` float32 (batch, 3): Cast, ReduceMean.
    Source: onnx.proto3.
    """
    uint8, float32 = 2, 1
    cast = _node("Cast", "frames", "f", _text(1, "to") + integer(3, float32) + integer(20, 2))
    axes = _text(1, "axes") + integer(8, 1) + integer(8, 2) + integer(20, 7)
    keep = _text(1, "keepdims") + integer(3, 0) + integer(20, 2)
    mean = _node("ReduceMean", "f", "logits", axes, keep)
    graph = (
        cast
        + mean
        + _text(2, "tiny")
        + _value(11, "frames", uint8, "batch", 4, 4, 3)
        + _value(12, "logits", float32, "batch", 3)
    )
    opset = delimited(8, integer(2, 13))
    return integer(1, 8) + delimited(7, graph) + opset


def _node(kind: str, source: str, target: str, *attributes: bytes) -> bytes:
    listed = b"".join(delimited(5, attribute) for attribute in attributes)
    return delimited(1, _text(1, source) + _text(2, target) + _text(4, kind) + listed)


def _value(field: int, name: str, kind: int, *shape: int | str) -> bytes:
    sizes = (_text(2, size) if isinstance(size, str) else integer(1, size) for size in shape)
    listed = b"".join(delimited(1, size) for size in sizes)
    return delimited(
        field, _text(1, name) + delimited(2, delimited(1, integer(1, kind) + delimited(2, listed)))
    )


def _text(field: int, text: str) -> bytes:
    return delimited(field, text.encode())
