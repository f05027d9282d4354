"""Graph rewriting for foreign classifiers: adds the deployed interface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.model.card import ModelCard

OPSET = 20
IR_VERSION = 10
_INPUT, _OUTPUT = "foreign_input", "foreign_output"


@dataclass(frozen=True)
class ForeignInput:
    """The input of a foreign graph.

    Attributes:
        name: of the single input.
        batch: fixed batch size, 0 if dynamic.
        height: in pixels, 0 if dynamic.
        width: in pixels, 0 if dynamic.
        channels_last: whether it takes (n, h, w, 3) rather than (n, 3, h, w).
    """

    name: str
    batch: int
    height: int
    width: int
    channels_last: bool


def modern(model: Any) -> Any:
    """Upgrade the opset to what edgecat's passes need, and pin the IR version."""
    import onnx

    version = max((item.version for item in model.opset_import if item.domain == ""), default=1)
    if version < OPSET:
        model = onnx.version_converter.convert_version(model, OPSET)
    model.ir_version = IR_VERSION
    del model.metadata_props[:]
    return model


def strip_softmax(graph: Any) -> bool:
    """Remove a softmax from the output; return whether there was one."""
    output = graph.output[0].name
    last = next((node for node in graph.node if output in node.output), None)
    if last is None or last.op_type != "Softmax":
        return False
    graph.output[0].name = last.input[0]
    graph.node.remove(last)
    return True


def wrap(model: Any, source: ForeignInput, card: ModelCard, rank: int) -> None:
    """Add the deployed interface to a graph, in place.

    Args:
        model: with one image input; its first output becomes `logits`.
        source: its input.
        card: labels, size, mean and standard deviation.
        rank: of its output; other ranks than 2 are flattened.
    """
    from onnx import TensorProto, helper

    graph = model.graph
    if source.batch:
        _free_batch(graph, source.batch)
    for node in graph.node:
        node.name = f"foreign_{node.name}" if node.name else ""
    _rename(graph, source.name, _INPUT)
    flat = rank == 2
    _rename(graph, graph.output[0].name, "logits" if flat else _OUTPUT)
    nodes = [*_preprocessing(graph, source, card), *graph.node]
    if not flat:
        nodes.append(helper.make_node("Flatten", [_OUTPUT], ["logits"], name=_OUTPUT, axis=1))
    for field in ("node", "input", "output", "value_info"):
        graph.ClearField(field)
    graph.node.extend(nodes)
    frames: list[str | int | None] = ["batch", card.height, card.width, 3]
    classes: list[str | int | None] = ["batch", card.classes]
    graph.input.append(helper.make_tensor_value_info("frames", TensorProto.UINT8, frames))
    graph.output.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, classes))
    graph.name = card.architecture


def _rename(graph: Any, old: str, new: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == old:
                    names[index] = new


def _preprocessing(graph: Any, source: ForeignInput, card: ModelCard) -> list[Any]:
    """Nodes from uint8 BGR frames to the input of the foreign graph.

    The cast comes before the transpose: TensorRT does not support uint8 in a shuffle.
    """
    from onnx import TensorProto, helper, numpy_helper

    form = (1, 1, 1, 3) if source.channels_last else (1, 3, 1, 1)
    constants: dict[str, NDArray[Any]] = {
        "edgecat_rgb": np.array([2, 1, 0], np.int64),
        "edgecat_mean": (np.asarray(card.mean, np.float32) * 255).reshape(form),
        "edgecat_scale": (1 / (np.asarray(card.std, np.float32) * 255)).reshape(form),
    }
    for key, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(value, key))
    steps: list[tuple[str, list[str], dict[str, Any]]] = [
        ("Cast", [], {"to": TensorProto.FLOAT}),
        *([] if source.channels_last else [("Transpose", [], {"perm": [0, 3, 1, 2]})]),
        ("Gather", ["edgecat_rgb"], {"axis": 3 if source.channels_last else 1}),
        ("Sub", ["edgecat_mean"], {}),
        ("Mul", ["edgecat_scale"], {}),
    ]
    nodes, last = [], "frames"
    for index, (kind, inputs, attributes) in enumerate(steps):
        name = _INPUT if index == len(steps) - 1 else f"edgecat_{kind.lower()}"
        label = f"edgecat_{kind}"
        nodes.append(helper.make_node(kind, [last, *inputs], [name], name=label, **attributes))
        last = name
    return nodes


def _free_batch(graph: Any, batch: int) -> None:
    """Make constant Reshape targets that begin with the fixed batch size dynamic."""
    from onnx import numpy_helper

    constants = {item.name: item for item in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = node.attribute[0].t
    for index, node in enumerate(graph.node):
        if node.op_type != "Reshape" or node.input[1] not in constants:
            continue
        target = numpy_helper.to_array(constants[node.input[1]]).copy()
        if len(target) > 1 and target[0] == batch:
            target[0] = -1 if -1 not in target else 0  # 0: copied from the input
            kept = [item for item in node.attribute if item.name != "allowzero"]
            node.ClearField("attribute")
            node.attribute.extend(kept)
            name = f"edgecat_shape_{index}"
            graph.initializer.append(numpy_helper.from_array(target, name))
            node.input[1] = name
