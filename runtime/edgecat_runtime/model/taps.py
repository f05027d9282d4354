"""Inner values of a deployed ONNX graph as further outputs, without the onnx package.

Concatenated protobuf messages merge: a graph that only names outputs, appended to a model, gives
the model these outputs. So every exported file also serves as a feature extractor.

Source: onnx.proto3; https://protobuf.dev/programming-guides/encoding (merging).
"""

from __future__ import annotations

from typing import NamedTuple

from edgecat_runtime.model.protobuf import delimited, fields

_GRAPH = 7
_NODE, _OUTPUT = 1, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_KIND = 1, 2, 4
_NAME = 1
_DENSE = ("Gemm", "MatMul")
_POOL = "MaxPool"
# Between the last dense layer and the logits, and before the layer, in fp16 and int8 files.
_THROUGH = ("Cast", "Add", "Identity", "QuantizeLinear", "DequantizeLinear")


class Node(NamedTuple):
    """One operation of a graph: its kind, and the names of its inputs and outputs."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def graph_nodes(model: bytes) -> list[Node]:
    """The operations of a serialised `ModelProto`, in order.

    Raises:
        ValueError: it is not a protobuf message.
    """
    return [
        _node(model, body, end)
        for number, _, start, stop in fields(model)
        if number == _GRAPH
        for part, _, body, end in fields(model, start, stop)
        if part == _NODE
    ]


def feature_taps(model: bytes) -> tuple[str, ...]:
    """Name the values that describe an image: stage outputs, and what the last layer is given.

    Args:
        model: a serialised `ModelProto` with one output, the logits.

    Returns:
        The outputs of the max pools, but for the last where the last layer is given its mean; then
        the input (n, features) of the last dense layer.

    Raises:
        ValueError: not a protobuf message, or its logits are not computed by a dense layer.
    """
    nodes = graph_nodes(model)
    made_by = {name: node for node in nodes for name in node.outputs}
    name = _output(model)
    while (node := made_by.get(name)) is not None and node.kind not in _DENSE:
        if node.kind not in _THROUGH:
            break
        name = next((each for each in node.inputs if each in made_by), "")
    if node is None or node.kind not in _DENSE:
        raise ValueError("the logits are not computed by a dense layer")
    return (*_pools(nodes), node.inputs[0])


def with_outputs(model: bytes, names: tuple[str, ...]) -> bytes:
    """Give a serialised `ModelProto` further outputs, by the names of its inner values."""
    outputs = b"".join(delimited(_OUTPUT, delimited(_NAME, name.encode())) for name in names)
    return model + delimited(_GRAPH, outputs)


def _pools(nodes: list[Node]) -> list[str]:
    return [node.outputs[0] for node in nodes if node.kind == _POOL][:-1]


def _output(model: bytes) -> str:
    for number, _, start, stop in fields(model):
        if number == _GRAPH:
            for part, _, body, end in fields(model, start, stop):
                if part == _OUTPUT:
                    return _texts(model, body, end)[_NAME][0]
    raise ValueError("the graph has no output")


def _node(model: bytes, start: int, stop: int) -> Node:
    texts = _texts(model, start, stop)
    kind = texts.get(_NODE_KIND, [""])[0]
    return Node(kind, tuple(texts.get(_NODE_INPUT, ())), tuple(texts.get(_NODE_OUTPUT, ())))


def _texts(model: bytes, start: int, stop: int) -> dict[int, list[str]]:
    """The texts of a message's fields 1 to 4, by number."""
    found: dict[int, list[str]] = {}
    for number, _, body, end in fields(model, start, stop):
        if number <= _NODE_KIND:
            found.setdefault(number, []).append(model[body:end].decode("utf-8", "replace"))
    return found
