"""OpenVINO on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.backends.base import closed
from edgecat_runtime.errors import BackendMissing, UserError
from edgecat_runtime.system.foreign_text import one_line
from edgecat_runtime.system.paths import native_path
from edgecat_runtime.system.telemetry import import_openvino


class OpenVINOBackend:
    """An OpenVINO model compiled for the CPU, over the deployed graph.

    Float layers run in float32: by default OpenVINO would use bfloat16 or half precision on
    processors that support them, and results would differ between devices. Q/DQ layers run in int8.
    Threads are not pinned to cores: OpenVINO would pin those of every model and process to the same
    first ones, so that two of them shared a core while another was idle.

    Args:
        path: a `.onnx` file, uint8 (batch, h, w, 3) BGR in, float32 logits out.
        threads: CPU threads; None: OpenVINO's default.

    Raises:
        BackendMissing: openvino is not installed.
        UserError: OpenVINO rejects the file.
    """

    name = "openvino"

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        try:
            ov = import_openvino()
        except ImportError as error:
            raise BackendMissing(
                "openvino is not installed: pip install 'edgecat-runtime[openvino]'"
            ) from error
        options: dict[str, str | int | bool] = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,
        }
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        try:
            with native_path(path) as name:
                self._model: Any = ov.Core().compile_model(name, "CPU", options)
        except RuntimeError as error:
            raise UserError(f"OpenVINO cannot open {path}: {one_line(error, last=True)}") from error

    def infer(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run a batch: uint8 (n, h, w, 3) BGR to float32 logits (n, classes)."""
        if self._model is None:
            raise closed()
        logits: NDArray[np.float32] = self._model(np.ascontiguousarray(frames))[0]
        return logits.copy()

    def close(self) -> None:
        """Free the model."""
        self._model = None
