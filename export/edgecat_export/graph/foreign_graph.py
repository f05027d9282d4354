"""Graph rewriting for foreign classifiers: adds the deployed interface."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat_export.graph.foreign_input import Colour, ForeignInput
from edgecat_runtime.model.card import ModelCard

OPSET = 20
IR_VERSION = 10
GREY = (0.114, 0.587, 0.299)
"""Luma weights of blue, green and red, as in OpenCV and Pillow."""

_INPUT, _OUTPUT = "foreign_input", "foreign_output"
_TAKEN = ("frames", "logits", _INPUT, _OUTPUT)


def plain(model: Any) -> Any:
    """A foreign model without what other tools trip over: local functions, stale shapes, metadata.

    Sizes of inputs that are 0 or negative become free; the shapes of everything computed are left
    to be inferred again.
    """
    import onnx
    import onnx.inliner

    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    graph = model.graph
    for item in graph.input:
        for axis, dim in enumerate(item.type.tensor_type.shape.dim):
            if dim.HasField("dim_value") and dim.dim_value <= 0:
                dim.dim_param = f"free_{axis}"
    for item in graph.output:
        item.type.tensor_type.ClearField("shape")
    graph.ClearField("value_info")
    _dequantize(graph)
    model.ir_version = min(max(model.ir_version, 4), IR_VERSION)
    del model.metadata_props[:]
    return model


def _dequantize(graph: Any) -> None:
    """Give outputs that end in QuantizeLinear their real values back."""
    from onnx import TensorProto, helper

    last = {node.output[0]: node for node in graph.node if node.op_type == "QuantizeLinear"}
    for item in graph.output:
        if item.name in last:
            inputs = [item.name, *last[item.name].input[1:]]
            item.name = f"edgecat_{item.name}"
            item.type.tensor_type.elem_type = TensorProto.FLOAT
            graph.node.append(helper.make_node("DequantizeLinear", inputs, [item.name]))


def modern(model: Any) -> Any:
    """Raise the operator set to what edgecat's passes need, where onnx can, and pin the IR."""
    import onnx
    import onnx.version_converter

    if opset(model) < OPSET:
        model = onnx.version_converter.convert_version(model, OPSET)
    model.ir_version = IR_VERSION
    return model


def opset(model: Any) -> int:
    """The version of the standard operator set."""
    return max((i.version for i in model.opset_import if i.domain in ("", "ai.onnx")), default=1)


def keep_output(graph: Any, name: str) -> None:
    """Make one output the only one, and drop the nodes that it does not need."""
    kept = [item for item in graph.output if item.name == name]
    graph.ClearField("output")
    graph.output.extend(kept)
    needed, nodes = {name}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(_read_by(node))
    graph.ClearField("node")
    graph.node.extend(nodes[::-1])


def wrap(
    model: Any,
    source: ForeignInput,
    card: ModelCard,
    *,
    colour: Colour,
    flat: bool,
    head: list[Any],
) -> None:
    """Add the deployed interface to a graph, in place.

    Args:
        model: with one image input and one output.
        source: what it takes.
        card: labels, size, mean and standard deviation.
        colour: the order of the colours that it takes.
        flat: whether its output is (n, classes) already; another is flattened.
        head: nodes from `foreign_output` to `logits`; empty where that is what it gives.
    """
    from onnx import TensorProto, helper

    graph = model.graph
    if source.batch:
        _free_batch(graph, source)
    for node in graph.node:
        node.name = f"foreign_{node.name}" if node.name else ""
    _rename_taken(graph, (source.name, graph.output[0].name))
    _rename(graph, source.name, _INPUT)
    direct = flat and not head
    _rename(graph, graph.output[0].name, "logits" if direct else _OUTPUT)
    nodes = [*_preprocessing(model, source, card, colour), *graph.node]
    if not flat:
        last = "foreign_flat" if head else "logits"
        nodes.append(helper.make_node("Flatten", [_OUTPUT], [last], name=_OUTPUT, axis=1))
        for node in head[:1]:
            node.input[0] = last
    nodes += head
    for field in ("node", "input", "output", "value_info"):
        graph.ClearField(field)
    graph.node.extend(nodes)
    frames: list[str | int | None] = ["batch", card.height, card.width, 3]
    classes: list[str | int | None] = ["batch", card.classes]
    graph.input.append(helper.make_tensor_value_info("frames", TensorProto.UINT8, frames))
    graph.output.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, classes))
    graph.name = card.architecture


def _subgraphs(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _read_by(node: Any) -> set[str]:
    """What a node reads, also inside its branches and loop bodies."""
    names = {name for name in node.input if name}
    for graph in _subgraphs(node):
        names.update(name for inner in graph.node for name in _read_by(inner))
        names.update(item.name for item in graph.output)
    return names


def _names(graph: Any) -> set[str]:
    """Every tensor's name, inside branches too."""
    names = {name for node in graph.node for name in (*node.input, *node.output)}
    names.update(item.name for item in (*graph.initializer, *graph.input))
    return names.union(*(_names(inner) for node in graph.node for inner in _subgraphs(node)))


def _rename_taken(graph: Any, ends: tuple[str, str]) -> None:
    """Give inner tensors other names where they have those of the deployed interface."""
    names = _names(graph)
    for name in sorted(names):
        if name not in ends and (name in _TAKEN or name.startswith("edgecat_")):
            new = f"inner_{name}"
            while new in names:
                new = f"inner_{new}"
            _rename(graph, name, new)


def _rename(graph: Any, old: str, new: str) -> None:
    """Rename a tensor wherever it is made, read or described, inside branches too."""
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == old:
                    names[index] = new
        for inner in _subgraphs(node):
            _rename(inner, old, new)
    for item in (*graph.initializer, *graph.input, *graph.output, *graph.value_info):
        if item.name == old:
            item.name = new
    for sparse in graph.sparse_initializer:
        if sparse.values.name == old:
            sparse.values.name = new


def _preprocessing(model: Any, source: ForeignInput, card: ModelCard, colour: Colour) -> list[Any]:
    """Nodes from uint8 BGR frames to the input of the foreign graph.

    The cast comes before the transpose: TensorRT does not support uint8 in a shuffle.
    """
    from onnx import TensorProto, helper, numpy_helper

    axis = 3 if source.channels_last else 1
    form = [1, 1, 1, 1]
    form[axis] = source.channels
    constants, colours = _colours(source, card, colour, opset(model), axis)
    steps: list[tuple[str, list[str], dict[str, Any]]] = [
        ("Cast", [], {"to": TensorProto.FLOAT}),
        *([] if source.channels_last else [("Transpose", [], {"perm": [0, 3, 1, 2]})]),
        *colours,
    ]
    if source.raw:
        constants["edgecat_half"] = np.array([0.5], np.float32)
        steps += [("Add", ["edgecat_half"], {}), ("Floor", [], {})] if colour == "grey" else []
    else:
        order = 1 if colour == "rgb" else -1
        mean = np.asarray(card.mean[::order][: source.channels], np.float32) * 255
        scale = 1 / (np.asarray(card.std[::order][: source.channels], np.float32) * 255)
        constants |= {"edgecat_mean": mean.reshape(form), "edgecat_scale": scale.reshape(form)}
        steps += [("Sub", ["edgecat_mean"], {}), ("Mul", ["edgecat_scale"], {})]
    if source.kind != TensorProto.FLOAT:
        steps.append(("Cast", [], {"to": source.kind}))
    used = {name for _, inputs, _ in steps for name in inputs}
    for key, value in constants.items():
        if key in used:
            model.graph.initializer.append(numpy_helper.from_array(value, key))
    nodes, last = [], "frames"
    for index, (kind, inputs, attributes) in enumerate(steps):
        end = index == len(steps) - 1
        name = _INPUT if end else f"edgecat_{kind.lower()}_{index}"
        label = f"edgecat_{kind}_{index}"
        nodes.append(helper.make_node(kind, [last, *inputs], [name], name=label, **attributes))
        last = name
    return nodes


def _colours(
    source: ForeignInput, card: ModelCard, colour: Colour, version: int, axis: int
) -> tuple[dict[str, NDArray[Any]], list[tuple[str, list[str], dict[str, Any]]]]:
    """Constants and steps from blue, green, red to the colours that the graph takes."""
    if colour == "rgb":
        order = np.array([2, 1, 0], np.int64)
        return {"edgecat_rgb": order}, [("Gather", ["edgecat_rgb"], {"axis": axis})]
    if colour == "bgr":
        return {}, []
    form = [1, 1, 1, 1]
    form[axis] = 3
    constants: dict[str, NDArray[Any]] = {
        "edgecat_grey": np.array(GREY, np.float32).reshape(form),
        "edgecat_axis": np.array([axis], np.int64),
    }
    total: tuple[str, list[str], dict[str, Any]] = (
        ("ReduceSum", ["edgecat_axis"], {"keepdims": 1})
        if version >= 13
        else ("ReduceSum", [], {"axes": [axis], "keepdims": 1})
    )
    return constants, [("Mul", ["edgecat_grey"], {}), total]


def _free_batch(graph: Any, source: ForeignInput) -> None:
    """Let constant Reshape targets that begin with the fixed batch take any.

    Only those that reshape what comes from the image: a parameter may be reshaped to (1, -1, 1, 1).
    """
    from onnx import numpy_helper

    constants = {item.name: item for item in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = node.attribute[0].t
    from_image = {source.name}
    for index, node in enumerate(graph.node):
        if not from_image.intersection(_read_by(node)):
            continue
        if node.op_type not in ("Shape", "Size"):
            from_image.update(node.output)
        if node.op_type != "Reshape" or node.input[1] not in constants:
            continue
        target = numpy_helper.to_array(constants[node.input[1]]).copy()
        if len(target) > 1 and target[0] == source.batch:
            target[0] = -1 if -1 not in target else 0  # 0: copied from the input
            kept = [item for item in node.attribute if item.name != "allowzero"]
            node.ClearField("attribute")
            node.attribute.extend(kept)
            name = f"edgecat_shape_{index}"
            graph.initializer.append(numpy_helper.from_array(target, name))
            node.input[1] = name
