"""fp16 as a graph: half precision where it is safe, uint8 in and float32 logits out.

The operators' own schemas determine which inputs may be half, so this works for Q/DQ graphs too. A
layer stays in float32 if a value around it exceeds half of float16's range.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgecat_export.precision.scan import Progress, scan
from edgecat_runtime.errors import UserError
from edgecat_runtime.types import Frames

HEADROOM = 2.0
LARGEST = float(np.finfo(np.float16).max) / HEADROOM
_FLOAT, _HALF = 1, 10  # onnx.TensorProto.FLOAT and FLOAT16


@dataclass(frozen=True)
class Kept:
    """A layer that stays in float32.

    Attributes:
        name: of the node.
        operator: its ONNX operator.
        why: the reason, for people.
    """

    name: str
    operator: str
    why: str

    def __str__(self) -> str:
        return f"{self.name} ({self.operator}) stays fp32: {self.why}"


@dataclass(frozen=True)
class HalfReport:
    """The result of the fp16 pass.

    Attributes:
        nodes: number of nodes in half precision.
        kept: nodes that would overflow or lose their scale in half precision.
    """

    nodes: int
    kept: tuple[Kept, ...]


def fp16_from_onnx(
    payload: bytes, *, frames: Frames | None = None, progress: Progress | None = None
) -> tuple[bytes, HalfReport]:
    """Convert a graph to half precision.

    Args:
        payload: an ONNX model, uint8 frames in, float32 logits out; Q/DQ is preserved.
        frames: uint8 (n, h, w, 3) BGR, preprocessed, to scan for overflow; default: no scan, for a
            graph that has been scanned already.
        progress: called after each batch of the scan.

    Returns:
        The serialised model and the nodes kept in float32.

    Raises:
        UserError: the graph has control flow.
    """
    import onnx

    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(payload))
    kept = _lost_scales(model)
    if frames is not None:
        peaks = {n: t.peak for n, t in scan(payload, frames, progress=progress).tensors.items()}
        kept |= _overflows(model, peaks)
    writer = _HalfWriter(model, set(kept))
    writer.rewrite()
    result: bytes = model.SerializeToString()
    onnx.checker.check_model(result)
    return result, HalfReport(writer.converted, tuple(kept.values()))


def _overflows(model: Any, peaks: Mapping[str, float]) -> dict[str, Kept]:
    """Nodes with an input or output value beyond the safe range of half precision."""
    peaks = {**peaks, **dict(_weight_peaks(model))}
    found = {}
    for node in model.graph.node:
        peak = max((peaks.get(name, 0.0) for name in (*node.input, *node.output)), default=0.0)
        if peak > LARGEST:
            why = f"values up to {peak:.3g}, the safe limit is {LARGEST:.5g}"
            found[node.name] = Kept(node.name, node.op_type, why)
    return found


def _weight_peaks(model: Any) -> Iterator[tuple[str, float]]:
    from onnx import numpy_helper

    for item in model.graph.initializer:
        if item.data_type == _FLOAT and (values := numpy_helper.to_array(item)).size:
            yield item.name, float(np.abs(values).max())


def _lost_scales(model: Any) -> dict[str, Kept]:
    """Q/DQ nodes whose scale would change by more than a thousandth in half precision."""
    from onnx import numpy_helper

    weights = {item.name: item for item in model.graph.initializer}
    found = {}
    for node in model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        scale = numpy_helper.to_array(weights[node.input[1]]).astype(np.float32)
        with np.errstate(over="ignore"):
            error = np.abs(scale.astype(np.float16).astype(np.float32) - scale) / scale
        if error.max() > 1e-3:
            why = f"a scale of {scale.min():.1e} is too small for half precision"
            found[node.name] = Kept(node.name, node.op_type, why)
    return found


class _HalfWriter:
    """Rewrites one graph; a tensor is half or float, and casts are inserted between the two."""

    def __init__(self, model: Any, kept: set[str]) -> None:
        self.converted = 0
        self._graph = model.graph
        self._opsets = {item.domain: item.version for item in model.opset_import}
        self._kept = kept
        self._floats = _float_tensors(model)
        self._weights = {item.name: item for item in model.graph.initializer}
        self._half: dict[str, bool] = {}
        self._made: set[str] = set()
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}

    def rewrite(self) -> None:
        """Process the nodes in order, then restore the types of the outputs."""
        outputs = {item.name for item in self._graph.output}
        inner = {name: f"{name}_inner" for name in outputs if name in self._floats}
        self._floats |= set(inner.values())
        for node in self._graph.node:
            for names in (node.input, node.output):
                for index, name in enumerate(names):
                    names[index] = inner.get(name, name)
            self._convert(node)
        for name, source in inner.items():
            self._cast(source, name, _FLOAT)
        for field, items in (("node", self._nodes), ("initializer", self._constants.values())):
            self._graph.ClearField(field)
            getattr(self._graph, field).extend(items)
        self._graph.ClearField("value_info")

    def _convert(self, node: Any) -> None:
        halves = self._half_parameters(node)
        for index, name in enumerate(node.input):
            if name in self._floats:
                node.input[index] = self._wanted(name, half=f"input {index}" in halves)
            elif name in self._weights:
                self._constants[name] = self._weights[name]
        self._nodes.append(node)
        self.converted += bool(halves)
        for index, name in enumerate(node.output):
            self._half[name] = f"output {index}" in halves
        if node.op_type == "Cast" and halves:
            next(a for a in node.attribute if a.name == "to").i = _HALF

    def _half_parameters(self, node: Any) -> set[str]:
        """Which inputs and outputs of a node become half: by its schema, unless it is kept."""
        if node.name in self._kept:
            return set()
        import onnx

        if any(item.HasField("g") for item in node.attribute):
            raise UserError(
                f"the graph has control flow ({node.op_type} {node.name!r}), which fp16 does not "
                "support. Export the model without it"
            )
        if not onnx.defs.has(node.op_type, self._opsets.get(node.domain, 1), node.domain):
            return set()
        schema = onnx.defs.get_schema(
            node.op_type, self._opsets.get(node.domain, 1), domain=node.domain
        )
        if node.op_type == "Cast":
            to = next(a.i for a in node.attribute if a.name == "to")
            return {"input 0", "output 0"} if to == _FLOAT else {"input 0"}
        return self._by_schema(node, schema)

    def _by_schema(self, node: Any, schema: Any) -> set[str]:
        allowed = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
        found, bound = set(), set()
        for index, name in enumerate(node.input):
            kind = schema.inputs[min(index, len(schema.inputs) - 1)].type_str
            if name in self._floats and kind in allowed:
                if "tensor(float16)" not in allowed[kind]:
                    return set()
                found.add(f"input {index}")
                bound.add(kind)
        for index, _ in enumerate(node.output):
            if schema.outputs[min(index, len(schema.outputs) - 1)].type_str in bound:
                found.add(f"output {index}")
        return found

    def _wanted(self, name: str, *, half: bool) -> str:
        """The tensor `name` in the wanted type: itself, a converted constant, or a cast of it."""
        if name in self._weights:
            return self._constant(name, half=half)
        if self._half.get(name, False) is half:
            return name
        other = f"{name}_{'half' if half else 'float'}"
        if other not in self._made:
            self._cast(name, other, _HALF if half else _FLOAT)
        return other

    def _constant(self, name: str, *, half: bool) -> str:
        from onnx import numpy_helper

        if not half:
            self._constants[name] = self._weights[name]
            return name
        other = f"{name}_half"
        if other not in self._constants:
            with np.errstate(over="ignore"):  # the scan keeps these layers in float32
                values = numpy_helper.to_array(self._weights[name]).astype(np.float16)
            self._constants[other] = numpy_helper.from_array(values, other)
        return other

    def _cast(self, source: str, name: str, to: int) -> None:
        from onnx import helper

        self._made.add(name)
        self._nodes.append(helper.make_node("Cast", [source], [name], name=f"{name}/cast", to=to))


def _float_tensors(model: Any) -> set[str]:
    graph = model.graph
    infos = [*graph.value_info, *graph.input, *graph.output]
    typed = {item.name: item.type.tensor_type.elem_type for item in infos}
    typed |= {item.name: item.data_type for item in graph.initializer}
    unknown = [name for node in graph.node for name in node.output if name and name not in typed]
    if unknown:
        raise UserError(
            f"the type of {unknown[0]!r} in the graph is unknown, so it cannot be converted to "
            "fp16. Export the model with standard ONNX operators"
        )
    return {name for name, kind in typed.items() if kind == _FLOAT}
