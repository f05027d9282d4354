"""A backend that adds two products in 16 bits, as VPMADDUBSW does: an instrument of the tests.

It runs the nodes that `edgecat_runtime.doctor.tiny.int8_graph` is made of, in numpy.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from edgecat_runtime.backends import register_backend


class Saturating:
    """Runs an int8 graph; what two neighbouring products add up to stays within the limit."""

    def __init__(self, path: Path, name: str, limit: int) -> None:
        import onnx
        from onnx import numpy_helper

        self.name = name
        self._limit = limit
        graph = onnx.load(path).graph
        self._nodes = list(graph.node)
        self._constants = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer
        }

    def infer(self, frames: np.ndarray) -> np.ndarray:
        values: dict[str, Any] = {**self._constants, "frames": frames}
        scales: dict[str, np.ndarray] = {}  # of what is kept as whole numbers
        for node in self._nodes:
            given = [values[name] for name in node.input]
            (target,) = node.output
            if node.op_type == "DequantizeLinear":
                values[target], scales[target] = given[0].astype(np.int64), given[1]
            elif node.op_type in ("Conv", "MatMul"):
                columns = given[1].reshape(len(given[1]), -1).T
                rows = given[0].reshape(len(frames), -1)
                if node.op_type == "MatMul":
                    columns = given[1]
                elif given[1].shape[-1] == 1:  # a 1x1 convolution, pixel by pixel
                    rows = np.moveaxis(given[0], 1, -1)
                total = self._products(rows, columns) * (
                    scales[node.input[0]] * scales[node.input[1]]
                )
                pixels = node.op_type == "Conv" and given[1].shape[-1] == 1
                values[target] = np.moveaxis(total, -1, 1) if pixels else total
            else:
                values[target] = _SIMPLE[node.op_type](*given)
                if node.op_type == "Flatten" and node.input[0] in scales:
                    scales[target] = scales[node.input[0]]
        return np.asarray(values["logits"], np.float32)

    def _products(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Rows (..., k) times columns (k, n), as the instruction adds them up."""
        products = rows[..., None] * columns
        if products.shape[-2] % 2:
            products = np.concatenate([products, np.zeros_like(products[..., :1, :])], axis=-2)
        pairs = products[..., 0::2, :] + products[..., 1::2, :]
        return pairs.clip(-self._limit - 1, self._limit).sum(-2)

    def close(self) -> None:
        pass


_SIMPLE: dict[str, Any] = {
    "Cast": lambda x: x.astype(np.float32),
    "Transpose": lambda x: x.transpose(0, 3, 1, 2),
    "Flatten": lambda x: x.reshape(len(x), -1),
    "QuantizeLinear": lambda x, scale, zero: np.rint(x / scale).clip(0, 255).astype(np.uint8),
}


def register(*names: str) -> None:
    """Make `saturating` known, or `broken`, which saturates at half of that; both for ONNX."""
    limits = {"saturating": 32767, "broken": 16383}
    for name in names:
        register_backend(
            name,
            (".onnx",),
            "numpy",
            lambda path, card, threads, name=name: Saturating(path, name, limits[name]),
        )


if "pytest" not in sys.modules:  # in a child of a test, imported as it starts
    import os

    register(*os.environ.get("SATURATING", "").split())
