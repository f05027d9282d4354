"""OpenCV's DNN module: an alternative backend that is usually installed already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.backends.base import closed
from edgecat_runtime.errors import BackendMissing, UserError
from edgecat_runtime.system.foreign_text import one_line
from edgecat_runtime.system.opencv import cv2_module, silence_opencv
from edgecat_runtime.system.paths import native_path


class OpenCVBackend:
    """OpenCV 5's new DNN engine over the deployed graph.

    The classic engine (OpenCV 4) does not support uint8 NHWC input. OpenCV's thread count is
    process-wide, so it is changed only on request.

    Args:
        path: a `.onnx` file, uint8 (batch, h, w, 3) BGR in, float32 logits out.
        threads: OpenCV's process-wide thread count; None leaves it unchanged.

    Raises:
        BackendMissing: OpenCV is missing or older than 5.
        UserError: OpenCV rejects the file.
    """

    name = "opencv"

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        cv2 = cv2_module()
        if int(cv2.__version__.split(".")[0]) < 5:
            raise BackendMissing(
                f"OpenCV {cv2.__version__} cannot run the deployed graph; the opencv backend needs "
                "OpenCV 5: pip install 'opencv-python-headless>=5', or use --backend onnxruntime"
            )
        if threads:
            cv2.setNumThreads(threads)
        silence_opencv(cv2)
        try:
            with native_path(path) as name:
                self._net: Any = cv2.dnn.readNetFromONNX(name, cv2.dnn.ENGINE_NEW)
        except cv2.error as error:
            raise UserError(f"OpenCV cannot open {path}: {one_line(error.err or error)}") from error

    def infer(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run a batch: uint8 (n, h, w, 3) BGR to float32 logits (n, classes)."""
        if self._net is None:
            raise closed()
        self._net.setInput(np.ascontiguousarray(frames))
        logits: NDArray[np.float32] = self._net.forward()
        return logits.copy()

    def close(self) -> None:
        """Free the network."""
        self._net = None
