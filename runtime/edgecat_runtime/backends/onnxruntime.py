"""ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.errors import BackendMissing, UserError


class OnnxRuntimeBackend:
    """An ONNX Runtime session over the deployed graph.

    Args:
        path: a `.onnx` file, uint8 (batch, h, w, 3) BGR in, float32 logits out.
        threads: inside one operator; None leaves the choice to ONNX Runtime.

    Raises:
        BackendMissing: onnxruntime is not installed.
        UserError: ONNX Runtime refuses the file.
    """

    name = "onnxruntime"

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        try:
            import onnxruntime as ort
        except ImportError as error:
            raise BackendMissing(
                "onnxruntime is not installed: pip install 'edgecat-runtime[onnx]'"
            ) from error
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions share no public base class
            raise UserError(f"onnxruntime cannot open {path}: {_first_line(error)}") from error
        self._input = self._session.get_inputs()[0].name

    def infer(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Answer a batch: uint8 (n, h, w, 3) BGR to float32 logits (n, classes)."""
        logits: NDArray[np.float32] = self._session.run(None, {self._input: frames})[0]
        return logits

    def close(self) -> None:
        """Free the session."""
        self._session = None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
