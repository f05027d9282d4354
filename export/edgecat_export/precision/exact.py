"""Compute an ONNX graph in double precision, node by node: a result that no CPU changes.

Runtimes compute in float32 or in integers, in an order and with kernels that depend on the CPU;
an int8 product may even saturate. Here every operator of the graph is computed as specified, in
float64 with NumPy (`onnx.reference`), so that rounding a result to float32 or to an integer gives
the same value everywhere. Tensors that the graph holds in float16 are rounded to float16 after
each operator, and integers stay integers.

Slower than a runtime, and therefore meant for golden frames and calibration, not for serving.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[Any]
Watch = Callable[[str, NDArray[np.float64]], None]

_PATCHES = 1 << 21  # values that a convolution unfolds at once: 16 MB
_TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype")
_FLOAT, _DOUBLE = 1, 11  # of onnx.TensorProto


class ExactGraph:
    """An ONNX model, computed in float64.

    Args:
        payload: the model, with one input.
        watched: whether `run` can report every tensor.

    Raises:
        NotImplementedError: an operator, or one of its options, is not supported; `run` may also
            raise it.

    Example:
        >>> logits = ExactGraph(payload).run(frames)  # doctest: +SKIP
    """

    def __init__(self, payload: bytes, *, watched: bool = False) -> None:
        import onnx
        from onnx.reference import ReferenceEvaluator

        model = onnx.load_from_string(payload)
        self._output = model.graph.output[0].name
        if watched:
            known = {item.name for item in model.graph.output}
            names = [name for node in model.graph.node for name in node.output]
            new = [name for name in names if name and name not in known]
            model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in new)
        _widen(model.graph)
        for function in model.functions:
            _widen_nodes(function.node)
        del model.graph.value_info[:]
        self._evaluator = ReferenceEvaluator(model, new_ops=list(_operators()))
        self._input = self._evaluator.input_names[0]

    def run(self, frames: Array, watch: Watch | None = None) -> NDArray[np.float32]:
        """Compute the logits of frames, one by one.

        Args:
            frames: in the form of the graph's input, (n, ...).
            watch: called with the name and value of each floating-point tensor of each frame; needs
                `watched`.

        Returns:
            float32 (n, classes), correctly rounded from float64.
        """
        names = self._evaluator.output_names
        answers = []
        for i in range(len(frames)):
            values = dict(
                zip(names, self._evaluator.run(None, {self._input: frames[i : i + 1]}), strict=True)
            )
            answers.append(np.asarray(values[self._output]).astype(np.float32))
            if watch:
                for name, value in values.items():
                    if np.issubdtype(np.asarray(value).dtype, np.floating):
                        watch(name, np.asarray(value, np.float64))
        return np.concatenate(answers)


def convolve(
    images: Array,
    weights: Array,
    *,
    strides: Sequence[int] = (1, 1),
    pads: Sequence[int] = (0, 0, 0, 0),
    dilations: Sequence[int] = (1, 1),
    groups: int = 1,
) -> NDArray[np.float64]:
    """Convolve images with filters in float64, some rows at a time to bound the memory.

    Args:
        images: (n, channels, height, width).
        weights: (filters, channels / groups, kernel height, kernel width).
        strides: vertical and horizontal.
        pads: zeros added above, left, below and right.
        dilations: vertical and horizontal.
        groups: number of groups of channels and filters.

    Returns:
        (n, filters, height, width).
    """
    filters, channels, *kernel = weights.shape
    weights = weights.astype(np.float64).reshape(groups, filters // groups, -1)
    padded = _padded(images.astype(np.float64), pads, 0.0)
    patches = _windows(padded, kernel, strides, dilations).transpose(0, 1, 4, 5, 2, 3)
    height, width = patches.shape[4:]
    result = np.empty((len(images), groups, filters // groups, height, width))
    step = max(1, _PATCHES // (weights.shape[2] * width))
    for image, group in np.ndindex(len(images), groups):
        own = slice(group * channels, (group + 1) * channels)
        for row in range(0, height, step):
            columns = patches[image, own, :, :, row : row + step].reshape(weights.shape[2], -1)
            rows = (weights[group] @ columns).reshape(filters // groups, -1, width)
            result[image, group, :, row : row + step] = rows
    return result.reshape(len(images), filters, height, width)


@dataclass(frozen=True)
class _Geometry:
    """The geometry of a sliding kernel: everything in ONNX's attributes."""

    kernel: Sequence[int]
    strides: Sequence[int]
    dilations: Sequence[int]
    pads: Sequence[int]
    beyond: Sequence[int]  # added below and right by `ceil_mode`

    @classmethod
    def of(cls, shape: Sequence[int], options: Mapping[str, Any]) -> _Geometry:
        if len(shape) != 4:
            raise NotImplementedError(f"{len(shape) - 2} dimensions")
        kernel = options["kernel_shape"]
        strides = options.get("strides") or (1, 1)
        dilations = options.get("dilations") or (1, 1)
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
        pads = list(options.get("pads") or (0, 0, 0, 0))
        automatic = options.get("auto_pad") or "NOTSET"
        beyond = [0, 0]
        for axis, (size, stride, span) in enumerate(zip(shape[2:], strides, reach, strict=True)):
            if automatic.startswith("SAME"):
                needed = max(0, (-(-size // stride) - 1) * stride + span - size)
                small, large = needed // 2, needed - needed // 2
                first = small if automatic == "SAME_UPPER" else large
                pads[axis], pads[axis + 2] = first, needed - first
            elif options.get("ceil_mode"):
                room = size + pads[axis] + pads[axis + 2] - span
                count = -(-room // stride) + 1
                count -= (count - 1) * stride >= size + pads[axis]
                beyond[axis] = max(0, (count - 1) * stride - room)
        return cls(kernel, strides, dilations, pads, beyond)

    def windows(self, images: Array, filling: float, outside: float) -> Array:
        """The input of the kernel, with `filling` in the padding and `outside` beyond it."""
        padded = _padded(_padded(images, self.pads, filling), (0, 0, *self.beyond), outside)
        return _windows(padded, self.kernel, self.strides, self.dilations)


def _padded(images: Array, pads: Sequence[int], filling: float) -> Array:
    top, left, bottom, right = pads
    if not any(pads):
        return images
    return np.pad(images, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=filling)


def _windows(
    images: Array, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Array:
    """Views (n, channels, height, width, kernel height, kernel width) of padded images."""
    reach = tuple((size - 1) * gap + 1 for size, gap in zip(kernel, dilations, strict=True))
    views: Array = sliding_window_view(images, reach, axis=(2, 3))
    return views[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]


def _widen(graph: Any) -> None:
    """Convert a graph's float32 constants and casts to float64, in its subgraphs as well."""
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type == _FLOAT:
            value.type.tensor_type.elem_type = _DOUBLE
    _widen_nodes(graph.node)


def _widen_nodes(nodes: Iterable[Any]) -> None:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                _widen_tensor(attribute.t)
            if attribute.HasField("g"):
                _widen(attribute.g)
            if attribute.name in _TYPE_ATTRIBUTES and attribute.i == _FLOAT:
                attribute.i = _DOUBLE


def _widen_tensor(tensor: Any) -> None:
    from onnx import numpy_helper

    if tensor.data_type == _FLOAT:
        wide = numpy_helper.to_array(tensor).astype(np.float64)
        tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))


def _conv(x: Array, w: Array, b: Array | None = None, **options: Any) -> Array:
    found = _Geometry.of(x.shape, {**options, "kernel_shape": w.shape[2:]})
    result = convolve(
        x,
        w,
        strides=found.strides,
        pads=found.pads,
        dilations=found.dilations,
        groups=options.get("group") or 1,
    )
    if b is not None:
        result += b.astype(np.float64)[:, None, None]
    return result.astype(x.dtype)


def _matmul(a: Array, b: Array) -> Array:
    product: Array = a.astype(np.float64) @ b.astype(np.float64)
    return product.astype(a.dtype)


def _gemm(a: Array, b: Array, c: Array | None = None, **options: Any) -> Array:
    one = a.T if options.get("transA") else a
    two = b.T if options.get("transB") else b
    result = options["alpha"] * (one.astype(np.float64) @ two.astype(np.float64))
    if c is not None:
        result = result + options["beta"] * c.astype(np.float64)
    rounded: Array = result.astype(a.dtype)
    return rounded


def _dequantize(x: Array, scale: Array, zero: Array | None = None, **options: Any) -> Array:
    if options.get("block_size"):
        raise NotImplementedError("blocked DequantizeLinear")
    axis = options.get("axis", 1) % max(x.ndim, 1)
    shape = [-1 if i == axis else 1 for i in range(x.ndim)] if scale.ndim else []
    whole = x.astype(np.float64)
    if zero is not None:
        whole -= zero.astype(np.float64).reshape(shape)
    return (whole * scale.astype(np.float64).reshape(shape)).astype(scale.dtype)


def _max_pool(x: Array, **options: Any) -> Array:
    lowest = np.iinfo(x.dtype).min if x.dtype.kind in "iu" else -np.inf
    largest: Array = _Geometry.of(x.shape, options).windows(x, lowest, lowest).max((4, 5))
    return largest


def _average_pool(x: Array, **options: Any) -> Array:
    found = _Geometry.of(x.shape, options)
    sums = found.windows(x.astype(np.float64), 0.0, 0.0).sum((4, 5))
    ones = np.ones((1, 1, *x.shape[2:]))
    counted = float(options.get("count_include_pad") or 0)
    means: Array = (sums / found.windows(ones, counted, 0.0).sum((4, 5))).astype(x.dtype)
    return means


# Operators that `onnx.reference` computes slowly, or in the precision of their inputs.
_COMPUTED: Mapping[str, Callable[..., Array]] = {
    "Conv": _conv,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "DequantizeLinear": _dequantize,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
}


@cache
def _operators() -> tuple[Any, ...]:
    from onnx.reference.op_run import OpRun

    def operator(name: str, compute: Callable[..., Array]) -> Any:
        def _run(self: Any, *inputs: Any, **options: Any) -> tuple[Array]:
            if len(self.onnx_node.output) > 1:
                raise NotImplementedError(f"{name} with more than one output")
            return (compute(*inputs, **options),)

        return type(name, (OpRun,), {"_run": _run})

    return tuple(operator(name, compute) for name, compute in _COMPUTED.items())
