"""Backend `memo`: ONNX Runtime, but a frame that was seen a moment ago is not computed again."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime import BackendEntry, ModelCard
from edgecat_runtime.backends.onnxruntime import OnnxRuntimeBackend

REMEMBERED = 64


class MemoBackend:
    """Remembers the logits of recent frames: a screen that stands still costs no inference."""

    name = "memo"

    def __init__(self, path: Path, threads: int | None) -> None:
        self._backend = OnnxRuntimeBackend(path, threads=threads)
        self._memory: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()

    def infer(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run a batch: uint8 (n, h, w, 3) BGR to float32 logits (n, classes)."""
        keys = [frame.tobytes() for frame in frames]
        new = {key: index for index, key in enumerate(keys) if key not in self._memory}
        if new:
            logits = self._backend.infer(frames[list(new.values())])
            self._memory.update(zip(new, logits, strict=True))
        answers = np.stack([self._memory[key] for key in keys])
        while len(self._memory) > REMEMBERED:
            self._memory.popitem(last=False)
        return answers

    def close(self) -> None:
        """Release the backend and its memory."""
        self._backend.close()
        self._memory.clear()


def open_memo(path: Path, card: ModelCard, threads: int | None) -> MemoBackend:
    """Open a model file."""
    return MemoBackend(path, threads)


MEMO = BackendEntry("memo", "cpu", (".onnx",), "onnxruntime", open_memo)
