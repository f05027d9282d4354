"""Convert a float32 graph to int8 inside each interpreter, and print JSON with its hashes.

    python conversion.py

Needs numpy, onnx, onnxruntime, edgecat_runtime and edgecat_export. Weights and calibration
frames are integers from a seed, so that every machine starts with the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import platform
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat_export.precision import convert
from edgecat_export.precision.scan import answer
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.golden import golden_frames, golden_rows

SIZE = 16
_WIDTHS = (8, 16, 16)
_FRAMES = 16


def main() -> None:
    """Convert, and print one line of JSON."""
    payload = network()
    golden = golden_rows(answer(payload, golden_frames(SIZE, SIZE)))
    card = ModelCard("seeded", ("cat", "dog"), SIZE, SIZE, golden=golden)
    made = convert(payload, card, "int8", calibration=patches(_FRAMES))
    found = {
        "machine": platform.machine(),
        "float32": _hash(payload),
        "payload": _hash(made.payload),
        "golden": _hash(json.dumps(made.card.golden).encode()),
        "gate": str(made.gate),
        "notes": made.notes,
    }
    print(json.dumps(found))


def network() -> bytes:
    """Build the deployed graph: three convolutions with pools, a mean and a dense layer.

    Sums of 27 to 144 products reveal a CPU's order of additions in the last bits.
    """
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(200)
    constants: dict[str, NDArray[np.float32]] = {"scale": np.array(1 / 255, np.float32)}
    nodes = [
        helper.make_node("Cast", ["frames"], ["float"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["nchw"], "transpose", perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["nchw", "scale"], ["x0"], "normalise"),
    ]
    inputs = 3
    pool: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2]}
    for i, width in enumerate(_WIDTHS):
        constants[f"k{i}"] = _whole(rng, (width, inputs, 3, 3)) / np.float32(9 * inputs)
        constants[f"b{i}"] = _whole(rng, (width,)) / np.float32(10)
        reads = [f"x{i}", f"k{i}", f"b{i}"]
        nodes += [
            helper.make_node("Conv", reads, [f"c{i}"], f"conv{i}", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", [f"c{i}"], [f"r{i}"], f"relu{i}"),
            helper.make_node("MaxPool", [f"r{i}"], [f"x{i + 1}"], f"pool{i}", **pool),
        ]
        inputs = width
    constants["dense"] = _whole(rng, (2, inputs))
    constants["bias"] = np.zeros(2, np.float32)
    nodes += [
        helper.make_node("GlobalAveragePool", [f"x{len(_WIDTHS)}"], ["mean"], "mean"),
        helper.make_node("Flatten", ["mean"], ["flat"], "flat"),
        helper.make_node("Gemm", ["flat", "dense", "bias"], ["logits"], "head", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "seeded",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["batch", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    payload: bytes = model.SerializeToString(deterministic=True)
    return payload


def patches(count: int) -> NDArray[np.uint8]:
    """Return coloured patches over all levels, uint8 (count, 16, 16, 3)."""
    coarse = np.random.default_rng(201).integers(0, 256, (count, SIZE // 4, SIZE // 4, 3))
    return coarse.repeat(4, 1).repeat(4, 2).astype(np.uint8)


def _whole(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return integers from 96 to 127, of either sign, divided by 64: exact in float32.

    All are near the maximum, so that the sum of two 8-bit products would often overflow 16 bits.
    """
    values = rng.integers(96, 128, shape) * (2 * rng.integers(0, 2, shape) - 1)
    return (values / 64).astype(np.float32)


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    main()
