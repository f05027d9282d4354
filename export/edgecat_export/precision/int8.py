"""int8 as Q/DQ: the precision is part of the graph, so every runtime interprets it identically.

There are two forms. `cpu`: asymmetric uint8 activations, 7-bit int8 weights, int32 biases, which
ONNX Runtime and OpenVINO run on the VNNI and dot-product units, and without saturation on older
CPUs. `tensorrt`: symmetric int8 throughout and float biases, which TensorRT accepts. Weights are
quantised per output channel in both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgecat_export.precision.distribution import Range

Form = Literal["cpu", "tensorrt"]

WEIGHTED = ("Conv", "Gemm", "MatMul")
_ABSORBED = ("Relu", "Clip")  # fused into the preceding layer, so no Q/DQ in between
_SAME_SCALE = ("MaxPool", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose")
_OWN_SCALE = ("Add", "Concat", "AveragePool", "GlobalAveragePool")
_BIAS_LIMIT = float(1 << 30)

# The largest magnitude of a quantised weight. x86 CPUs without VNNI add two products of a uint8 and
# an int8 in 16 bits (`vpmaddubsw`), which saturates beyond 32,767: 2 * 255 * 127 does, and
# 2 * 255 * 63 does not. TensorRT accumulates products in 32 bits.
WEIGHT_LEVELS: dict[Form, int] = {"cpu": 63, "tensorrt": 127}


def int8_from_onnx(
    payload: bytes, ranges: Mapping[str, Range], *, form: Form = "cpu", keep: Collection[str] = ()
) -> bytes:
    """Quantise a graph's layers to int8.

    Layers are convolutions, Gemm and MatMul with constant weights. Everything before the first of
    them (the normalisation) and the logits stay float.

    Args:
        payload: an ONNX model, batch norm folded, opset 13 or later.
        ranges: of each float tensor, containing zero.
        form: `cpu` or `tensorrt`.
        keep: names of layers that stay float, together with their input.

    Returns:
        The serialised Q/DQ model.
    """
    import onnx

    model = onnx.load_from_string(payload)
    _Quantiser(model.graph, ranges, form, keep).rewrite()
    result: bytes = model.SerializeToString()
    onnx.checker.check_model(result)
    return result


def layers(payload: bytes, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """Multiply-adds per frame of each layer that supports int8, by node name.

    Args:
        payload: an ONNX model whose nodes have distinct names.
        shapes: of its tensors for one frame.
    """
    import onnx

    graph = onnx.load_from_string(payload).graph
    weights = {item.name: item for item in graph.initializer}
    return {
        node.name: int(np.prod(shapes[node.output[0]])) * _products(node, weights[node.input[1]])
        for node in graph.node
        if _is_layer(node, weights)
    }


def int8_layers(payload: bytes, *, form: Form = "cpu", keep: Collection[str] = ()) -> set[str]:
    """Names of the layers that run in int8 when `keep` stay float.

    Layers that share a kept layer's input stay float with it, and so does, in the `cpu` form, the
    layer that produces that input: CPUs have no int8 layer with a float result.

    Args:
        payload: as for `int8_from_onnx`.
        form: `cpu` or `tensorrt`.
        keep: names of layers that stay float.
    """
    import onnx

    return _Quantiser(onnx.load_from_string(payload).graph, {}, form, keep).layers


def calibrated_tensors(payload: bytes, *, form: Form = "cpu") -> set[str]:
    """Names of the tensors whose ranges `int8_from_onnx` may need, whatever it keeps in float.

    Args:
        payload: as for `int8_from_onnx`.
        form: `cpu` or `tensorrt`.
    """
    import onnx

    return _Quantiser(onnx.load_from_string(payload).graph, {}, form, ()).candidates()


def _is_layer(node: Any, weights: Mapping[str, Any]) -> bool:
    if node.op_type not in WEIGHTED or node.input[1] not in weights:
        return False
    tensor = weights[node.input[1]]
    return tensor.data_type == 1 and len(tensor.dims) == (4 if node.op_type == "Conv" else 2)


def _products(node: Any, weights: Any) -> int:
    """The number of products summed per output value of a layer."""
    return int(np.prod(weights.dims)) // int(weights.dims[_channel_axis(node, len(weights.dims))])


def _channel_axis(node: Any, rank: int) -> int:
    """Axis of the output channels in a layer's weights."""
    if node.op_type == "Conv" or _attribute(node, "transB"):
        return 0
    return rank - 1


def _attribute(node: Any, name: str) -> int:
    return next((int(item.i) for item in node.attribute if item.name == name), 0)


class _Quantiser:
    """Rewrites one graph; see `int8_from_onnx`."""

    def __init__(
        self, graph: Any, ranges: Mapping[str, Range], form: Form, keep: Collection[str]
    ) -> None:
        self._graph = graph
        self._ranges = ranges
        self._form = form
        self._weights = {item.name: item for item in graph.initializer}
        self._outputs = {item.name for item in graph.output}
        self._consumers: dict[str, list[Any]] = defaultdict(list)
        for node in graph.node:
            for name in node.input:
                self._consumers[name].append(node)
        self._float: set[str] = set()
        self.layers = self._int8(keep)
        self._scales: dict[str, float] = {}
        self._zeros: dict[str, int] = {}
        self._nodes: list[Any] = []

    def rewrite(self) -> None:
        """Choose what to quantise, in graph order, then insert the Q/DQ pairs."""
        for node in self._graph.node:
            self._choose(node)
        inputs = [item.name for item in self._graph.input if item.name in self._scales]
        assert not inputs, "the graph's input is uint8 already"
        for node in self._graph.node:
            activations = [name for name in node.input if name in self._scales]
            if node.name in self.layers:
                self._quantise_weights(node)
            for name in activations:
                _rename(node, name, f"{name}_dequantized")
            self._nodes.append(node)
            for name in node.output:
                if name in self._scales:
                    self._insert_pair(name)
        used = {name for node in self._nodes for name in node.input}
        kept = [item for item in self._weights.values() if item.name in used]
        for field, items in (("node", self._nodes), ("initializer", kept)):
            self._graph.ClearField(field)
            getattr(self._graph, field).extend(items)
        self._graph.ClearField("value_info")

    def candidates(self) -> set[str]:
        """The tensors that may get a scale of their own."""
        found: set[str] = set()
        for node in self._graph.node:
            if node.name in self.layers:
                found |= {node.input[0], self._absorbed(node.output[0])}
            elif node.op_type in _OWN_SCALE:
                found.add(self._absorbed(node.output[0]))
        return found - self._outputs

    def _int8(self, keep: Collection[str]) -> set[str]:
        """The layers that run in int8; the inputs of the others are marked as float."""
        found = [node for node in self._graph.node if _is_layer(node, self._weights)]
        producers = {name: node for node in self._graph.node for name in node.output}
        for node in found:
            name = node.input[0]
            while node.name in keep and name not in self._float:
                self._float.add(name)
                maker = producers.get(name)
                if maker is not None and maker.op_type in (*_ABSORBED, *_SAME_SCALE):
                    name = maker.input[0]
        return {
            node.name
            for node in found
            if node.input[0] not in self._float
            and (self._form == "tensorrt" or node.output[0] not in self._float)
        }

    def _choose(self, node: Any) -> None:
        """Assign scales to the tensors around a node that runs in int8."""
        dynamic = [name for name in node.input if name and name not in self._weights]
        if node.name in self.layers:
            self._calibrate(node.input[0])
            self._calibrate(self._absorbed(node.output[0]))
        elif node.op_type in _SAME_SCALE and dynamic[0] in self._scales:
            if node.output[0] not in self._outputs | self._float:
                self._scales[node.output[0]] = self._scales[dynamic[0]]
                self._zeros[node.output[0]] = self._zeros[dynamic[0]]
        elif node.op_type in _OWN_SCALE and all(name in self._scales for name in node.input):
            self._calibrate(self._absorbed(node.output[0]))

    def _absorbed(self, name: str) -> str:
        """The output of an activation that is the only reader of `name`, otherwise `name`."""
        readers = self._consumers[name]
        if len(readers) == 1 and readers[0].op_type in _ABSORBED and name not in self._outputs:
            return str(readers[0].output[0])
        return name

    def _calibrate(self, name: str) -> None:
        if name in self._scales or name in self._outputs or name in self._float:
            return
        lowest, highest = self._ranges[name]
        if self._form == "tensorrt":
            scale, zero = max(-lowest, highest) / 127, 0
        else:
            scale = (highest - lowest) / 255
            zero = round(-lowest / scale) if scale else 0
        self._scales[name] = float(np.float32(scale)) or 1.0
        self._zeros[name] = zero

    def _insert_pair(self, name: str) -> None:
        kind = np.int8 if self._form == "tensorrt" else np.uint8
        scale = self._constant(f"{name}_scale", np.float32(self._scales[name]))
        zero = self._constant(f"{name}_zero", kind(self._zeros[name]))
        quantized, dequantized = f"{name}_quantized", f"{name}_dequantized"
        self._node("QuantizeLinear", [name, scale, zero], quantized)
        self._node("DequantizeLinear", [quantized, scale, zero], dequantized)

    def _quantise_weights(self, node: Any) -> None:
        """Insert dequantisers after int8 weights and, for `cpu`, an int32 bias."""
        from onnx import numpy_helper

        weights = numpy_helper.to_array(self._weights[node.input[1]])
        axis = _channel_axis(node, weights.ndim)
        others = tuple(i for i in range(weights.ndim) if i != axis)
        reach = WEIGHT_LEVELS[self._form]
        scale = np.abs(weights).max(others) / np.float32(reach)
        bias = self._bias(node)
        if bias is not None:
            scale = np.maximum(scale, np.abs(bias) / (self._scales[node.input[0]] * _BIAS_LIMIT))
        scale = np.where(scale > 0, scale, 1).astype(np.float32)
        shape = [-1 if i == axis else 1 for i in range(weights.ndim)]
        levels = np.clip(np.rint(weights / scale.reshape(shape)), -reach, reach).astype(np.int8)
        node.input[1] = self._dequantised(node.name + ".weight", levels, scale, axis)
        if bias is not None:
            product = (scale * self._scales[node.input[0]]).astype(np.float32)
            whole = np.rint(bias / product).astype(np.int32)
            node.input[2] = self._dequantised(node.name + ".bias", whole, product, 0)

    def _bias(self, node: Any) -> NDArray[np.float32] | None:
        """The bias to quantise with the weights, if the form requires it."""
        from onnx import numpy_helper

        if self._form == "tensorrt" or len(node.input) < 3 or node.input[2] not in self._weights:
            return None
        bias = numpy_helper.to_array(self._weights[node.input[2]])
        factor = next((a.f for a in node.attribute if a.name in ("beta", "alpha") and a.f != 1), 1)
        return bias if bias.ndim == 1 and factor == 1 else None

    def _dequantised(
        self, name: str, levels: NDArray[Any], scale: NDArray[np.float32], axis: int
    ) -> str:
        inputs = [
            self._constant(f"{name}_quantized", levels),
            self._constant(f"{name}_scale", scale),
            self._constant(f"{name}_zero", np.zeros(scale.shape, levels.dtype)),
        ]
        self._node("DequantizeLinear", inputs, f"{name}_dequantized", axis=axis)
        return f"{name}_dequantized"

    def _constant(self, name: str, value: Any) -> str:
        from onnx import numpy_helper

        self._weights[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        from onnx import helper

        self._nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))


def _rename(node: Any, old: str, new: str) -> None:
    for index, name in enumerate(node.input):
        if name == old:
            node.input[index] = new
