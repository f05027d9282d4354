"""Cut an ONNX graph into segments that run on their own, fused as in the whole graph.

Marking an inner tensor as an output keeps a runtime from fusing across it, so that the measured
graph is no longer the served one. Cuts are therefore placed only where no runtime fuses: after a
layer's activation, and in a Q/DQ graph at the integers between QuantizeLinear and DequantizeLinear.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.errors import UserError

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_JOINS = ("Add", "Sum")
_ABSORBED = (
    *("Relu", "Clip", "LeakyRelu", "PRelu", "Elu", "Sigmoid", "HardSigmoid", "HardSwish", "Gelu"),
    *("BatchNormalization", "Add", "Sum"),
)


@dataclass(frozen=True)
class Cut:
    """A place where a graph can be cut: the end of a layer.

    Attributes:
        name: of the layer's float tensor, which precision passes preserve.
        tensor: where to cut: that tensor, or its integers after QuantizeLinear.
        layer: display name: PyTorch's if the weights or the node have it.
        operator: of the node that the layer is named after.
        scale: of the integers; None if the tensor is float.
        zero: zero point of the integers.
        kind: numpy type of `tensor`.
    """

    name: str
    tensor: str
    layer: str
    operator: str
    kind: np.dtype[Any]
    scale: np.float32 | None = None
    zero: int = 0

    def encode(self, values: NDArray[np.float32]) -> NDArray[Any]:
        """Convert float values to the graph's representation at this cut."""
        if self.scale is None:
            with np.errstate(over="ignore"):
                plain: NDArray[Any] = values.astype(self.kind)
            return plain
        reach = np.iinfo(self.kind)
        levels = np.rint(np.nan_to_num(values) / self.scale) + self.zero
        integers: NDArray[Any] = np.clip(levels, reach.min, reach.max).astype(self.kind)
        return integers

    def decode(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Convert the graph's representation at this cut to float values."""
        if self.scale is None:
            return values.astype(np.float32)
        floats: NDArray[np.float32] = (values.astype(np.float32) - self.zero) * self.scale
        return floats


@dataclass(frozen=True)
class Segment:
    """A part of a graph as a model of its own.

    Attributes:
        payload: the serialised ONNX model.
        inputs: names of its input tensors, in order.
        output: name of its output tensor.
    """

    payload: bytes
    inputs: tuple[str, ...]
    output: str


class Graph:
    """An ONNX graph that can be cut.

    Args:
        payload: a serialised model with one input and one output.

    Raises:
        UserError: it cannot be read as ONNX.
    """

    def __init__(self, payload: bytes) -> None:
        import onnx
        from google.protobuf.message import DecodeError

        try:
            self._model = onnx.shape_inference.infer_shapes(onnx.load_from_string(payload))
        except (DecodeError, onnx.shape_inference.InferenceError) as error:
            raise UserError(f"the graph cannot be read as ONNX: {error}") from error
        graph = self._model.graph
        self._weights = {item.name: item for item in graph.initializer}
        self.input = next(item.name for item in graph.input if item.name not in self._weights)
        self.output: str = graph.output[0].name
        self._infos = {i.name: i for i in (*graph.value_info, *graph.input, *graph.output)}
        self._producers = {name: node for node in graph.node for name in node.output if name}
        self._readers: dict[str, list[Any]] = defaultdict(list)
        for node in graph.node:
            for name in set(node.input):
                self._readers[name].append(node)
        self._constants = set(self._weights)
        for node in graph.node:
            if all(name in self._constants for name in node.input if name):
                self._constants.update(node.output)

    def cuts(self) -> list[Cut]:
        """All possible cuts of the graph, in order; the last is its output."""
        layers: dict[str, list[Any]] = defaultdict(list)
        for node in filter(self._is_layer, self._model.graph.node):
            layers[self._end(node.output[0])].append(node)
        place = {name: i for i, node in enumerate(self._model.graph.node) for name in node.output}
        cuts = [self._cut(name, layers[name]) for name in sorted(layers, key=place.__getitem__)]
        last = replace(self._cut(self.output, [self._producers[self.output]]), tensor=self.output)
        if cuts and self._leads_out(cuts[-1].name):
            layer = cuts.pop()
            last = replace(last, layer=layer.layer, operator=layer.operator)
        return [*cuts, last]

    def inputs(self, output: str, stops: Collection[str]) -> tuple[str, ...]:
        """Which of the graph's input and the tensors in `stops` are needed to compute `output`."""
        read = {name for node in self._needed(output, stops) for name in node.input}
        return tuple(name for name in (self.input, *stops) if name in read)

    def segment(self, output: str, stops: Collection[str]) -> Segment:
        """Extract the subgraph that computes `output` from the graph's input and `stops`."""
        from onnx import helper

        nodes = self._needed(output, stops)
        read = {name for node in nodes for name in node.input}
        inputs = self.inputs(output, stops)
        graph = helper.make_graph(
            nodes,
            self._model.graph.name or "segment",
            [self._info(name) for name in inputs],
            [self._info(output)],
            [item for name, item in self._weights.items() if name in read],
        )
        model = helper.make_model(
            graph,
            opset_imports=self._model.opset_import,
            ir_version=self._model.ir_version,
            functions=self._model.functions,
        )
        return Segment(model.SerializeToString(), inputs, output)

    def _needed(self, output: str, stops: Collection[str]) -> list[Any]:
        """The nodes in between, in graph order."""
        needed = {output}
        nodes = []
        for node in reversed(self._model.graph.node):
            if needed.intersection(node.output):
                nodes.append(node)
                needed.update(name for name in node.input if name and name not in stops)
        return nodes[::-1]

    def _is_layer(self, node: Any) -> bool:
        """Whether a node has weights or merges branches."""
        dynamic = [name for name in node.input if name and name not in self._constants]
        if node.op_type in _WEIGHTED:
            return len(dynamic) == 1 and len(node.input) > 1
        return node.op_type in _JOINS and len(dynamic) > 1

    def _end(self, name: str) -> str:
        """Follow the operators that a runtime fuses into a layer: returns its last tensor."""
        end = name
        while len(readers := self._readers[name]) == 1 and name != self.output:
            reader = readers[0]
            if reader.op_type not in (*_ABSORBED, "Cast"):
                break
            name = reader.output[0]
            end = end if reader.op_type == "Cast" else name
        return end

    def _leads_out(self, name: str) -> bool:
        """Whether only casts lie between `name` and the graph's output."""
        while name != self.output:
            readers = self._readers[name]
            if len(readers) != 1 or readers[0].op_type != "Cast":
                return False
            name = readers[0].output[0]
        return True

    def _cut(self, name: str, nodes: list[Any]) -> Cut:
        from onnx import numpy_helper

        weighted = [node for node in nodes if node.op_type in _WEIGHTED] or nodes[:1]
        layer = " + ".join(self._layer_name(node) for node in weighted)
        operator = str(weighted[0].op_type)
        readers = self._readers[name]
        if len(readers) == 1 and readers[0].op_type == "QuantizeLinear":
            scale, zero = (self._weights.get(item) for item in (*readers[0].input, "")[1:3])
            if scale is not None and zero is not None and not scale.dims:
                level = numpy_helper.to_array(zero)
                unit = np.float32(numpy_helper.to_array(scale))
                tensor = str(readers[0].output[0])
                return Cut(name, tensor, layer, operator, level.dtype, unit, int(level))
        return Cut(name, name, layer, operator, self._kind(name))

    def _kind(self, name: str) -> np.dtype[Any]:
        from onnx import helper

        return np.dtype(
            helper.tensor_dtype_to_np_dtype(self._info(name).type.tensor_type.elem_type)
        )

    def _info(self, name: str) -> Any:
        """Type and shape of a tensor; QuantizeLinear's output is typed by its zero point."""
        from onnx import helper

        if name in self._infos:
            return self._infos[name]
        node = self._producers[name]
        if node.op_type == "QuantizeLinear" and len(node.input) > 2:
            zero = self._weights.get(node.input[2])
            if zero is not None:
                return helper.make_tensor_value_info(name, zero.data_type, None)
        raise UserError(
            f"the type of {name!r} in the graph is unknown, so it cannot be cut there. "
            "Export the model with standard ONNX operators"
        )

    def _layer_name(self, node: Any) -> str:
        if node.op_type in _WEIGHTED:
            for name in node.input[1:]:
                if (source := self._source(name)).endswith(".weight"):
                    return source.removesuffix(".weight").removeprefix("model.")
        return _scope(node.name) or node.name or str(node.output[0])

    def _source(self, name: str) -> str:
        """The initializer behind a constant tensor, without the suffixes of precision passes."""
        while name in self._producers and self._producers[name].input:
            name = self._producers[name].input[0]
        for suffix in ("_half", "_quantized"):
            name = name.removesuffix(suffix)
        return name


def _scope(name: str) -> str:
    """The module in a node name, as PyTorch's older exporter writes it.

    `/layer1/layer1.0/conv1/Conv` is of `layer1.0.conv1`; empty if the name contains no module.
    """
    if not name.startswith("/"):
        return ""
    scope: list[str] = []
    for part in name.strip("/").split("/")[:-1]:
        if scope and part.startswith(f"{scope[-1]}."):
            scope.pop()
        scope.append(part)
    return ".".join(scope)
