"""A graph in double precision: the same as ONNX Runtime's answer, to float32's last digits."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecat_export.exact import ExactGraph, convolve

RNG = np.random.default_rng(3)
IMAGES = RNG.normal(size=(2, 4, 11, 9)).astype(np.float32)
ROWS = RNG.normal(size=(2, 6)).astype(np.float32)
KERNEL = RNG.normal(size=(6, 4, 3, 3)).astype(np.float32)
GROUPED = RNG.normal(size=(6, 2, 3, 2)).astype(np.float32)
MATRIX = RNG.normal(size=(6, 5)).astype(np.float32)
BIAS = RNG.normal(size=6).astype(np.float32)


def model(
    kind: str, x: np.ndarray, *constants: np.ndarray, outputs: int = 1, **attributes: Any
) -> bytes:
    names = [f"c{i}" for i in range(len(constants))]
    node = helper.make_node(kind, ["x", *names], [f"y{i}" for i in range(outputs)], **attributes)
    given = helper.np_dtype_to_tensor_dtype(x.dtype)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", given, ["n", *x.shape[1:]])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in node.output],
        [numpy_helper.from_array(c, name) for c, name in zip(constants, names, strict=True)],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return made.SerializeToString()


CASES: list[tuple[str, np.ndarray, tuple[np.ndarray, ...], dict[str, Any]]] = [
    ("Conv", IMAGES, (KERNEL, BIAS), {"pads": [1, 0, 2, 1]}),
    ("Conv", IMAGES, (KERNEL,), {"strides": [2, 3], "dilations": [2, 1]}),
    ("Conv", IMAGES, (GROUPED, BIAS), {"group": 2, "strides": [2, 1]}),
    ("Conv", IMAGES, (KERNEL,), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ("Conv", IMAGES, (KERNEL,), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    ("Conv", IMAGES, (KERNEL,), {"auto_pad": "VALID"}),
    ("MatMul", ROWS, (MATRIX,), {}),
    ("Gemm", ROWS, (MATRIX,), {"alpha": 0.5}),
    ("Gemm", ROWS, (MATRIX.T.copy(), BIAS[:5]), {"transB": 1, "beta": 2.0}),
    ("MaxPool", IMAGES, (), {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]}),
    ("MaxPool", IMAGES, (), {"kernel_shape": [3, 2], "strides": [3, 2], "ceil_mode": 1}),
    ("MaxPool", IMAGES, (), {"kernel_shape": [2, 2], "dilations": [2, 3]}),
    ("AveragePool", IMAGES, (), {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    (
        "AveragePool",
        IMAGES,
        (),
        {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2], "count_include_pad": 1},
    ),
    (
        "AveragePool",
        IMAGES,
        (),
        {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1, "count_include_pad": 1},
    ),
    ("Sigmoid", ROWS, (), {}),
    ("DequantizeLinear", np.arange(12, dtype=np.uint8).reshape(2, 6), (np.float32(0.1),), {}),
    (
        "DequantizeLinear",
        np.arange(12, dtype=np.int8).reshape(2, 6),
        (np.abs(BIAS), np.arange(6, dtype=np.int8)),
        {"axis": 1},
    ),
]


@pytest.mark.parametrize(
    ("kind", "x", "constants", "attributes"), CASES, ids=[f"{c[0]} {c[3]}" for c in CASES]
)
def test_it_computes_what_onnx_runtime_does(kind, x, constants, attributes) -> None:
    payload = model(kind, x, *constants, **attributes)
    session = onnxruntime.InferenceSession(payload, providers=["CPUExecutionProvider"])
    expected = session.run(None, {"x": x})[0]
    found = ExactGraph(payload).run(x)
    assert found.shape == expected.shape
    assert np.allclose(found, expected, rtol=1e-6, atol=1e-5)


def test_sums_are_exact_where_float32_loses_digits() -> None:
    """1e8 + 1 - 1e8 is 0 or 1 in float32, whichever comes first; here it is 1."""
    x = np.array([[1e8, 1, -1e8]], np.float32)
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        payload = model("MatMul", x, np.ones((3, 1), np.float32))
        assert ExactGraph(payload).run(x[:, order]).item() == 1


def test_a_bias_of_32_bits_keeps_them() -> None:
    x = np.array([[2**30 + 1]], np.int32)
    payload = model("DequantizeLinear", x, np.float32(2**-10))
    double = ExactGraph(payload, watched=True)
    seen: dict[str, float] = {}
    double.run(x, lambda name, value: seen.update({name: value.item()}))
    assert seen["y0"] == (2**30 + 1) / 2**10


def test_float16_is_rounded_after_every_operator() -> None:
    x = np.array([[1, 2**-11, 2**-11]], np.float16)
    graph = onnx.load_from_string(model("MatMul", x, np.ones((3, 1), np.float16)))
    graph.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    found = ExactGraph(graph.SerializeToString()).run(x).item()
    assert found == np.float16(1 + 2**-10)  # summed exactly, then rounded


def test_every_floating_point_tensor_is_shown() -> None:
    payload = model("Conv", IMAGES, KERNEL)
    seen: dict[str, tuple[int, ...]] = {}
    ExactGraph(payload, watched=True).run(IMAGES, lambda name, v: seen.update({name: v.shape}))
    assert seen == {"y0": (1, 6, 9, 7)}


@pytest.mark.parametrize(
    ("payload", "x"),
    [
        (model("MaxPool", IMAGES, outputs=2, kernel_shape=[2, 2]), IMAGES),
        (model("Conv", IMAGES[:, :, 0], KERNEL[:, :, 0]), IMAGES[:, :, 0]),
    ],
    ids=["indices", "one dimension"],
)
def test_what_has_no_such_form_says_so(payload: bytes, x: np.ndarray) -> None:
    with pytest.raises(NotImplementedError):
        ExactGraph(payload).run(x)


def test_a_large_convolution_is_cut_into_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = convolve(IMAGES, KERNEL, pads=(1, 1, 1, 1))
    monkeypatch.setattr(f"{convolve.__module__}._PATCHES", 1)
    assert np.allclose(convolve(IMAGES, KERNEL, pads=(1, 1, 1, 1)), whole, rtol=1e-13)
