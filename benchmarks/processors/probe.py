"""Classify images inside each interpreter of the matrix, and print JSON.

    python probe.py BACKEND MODEL IMAGES.npy [--drawn N]

Needs numpy, OpenCV (for `preprocess`), edgecat_runtime and the backend. The self-test is the
classifier's own; a failure is reported with its results, instead of ending the run.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.backends import Backend, open_backend
from edgecat_runtime.classifier import Classifier
from edgecat_runtime.errors import GateError
from edgecat_runtime.model.artifact import read_card
from edgecat_runtime.model.card import GOLDEN_CLASSES
from edgecat_runtime.model.parity import logit_error

_HWCAP2 = 26  # of getauxval; bits of arch/arm64/include/uapi/asm/hwcap.h
_HWCAP2_BITS = {"I8MM": 13, "BF16": 14}


class _Recorder:
    """A backend that caches its results, so that the self-test's frames run only once."""

    def __init__(self, backend: Backend) -> None:
        self.name = backend.name
        self.logits: list[NDArray[np.float32]] = []
        self._backend = backend

    def infer(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.logits.append(self._backend.infer(frames))
        return self.logits[-1]

    def close(self) -> None:
        self._backend.close()


def main() -> None:
    """Classify, and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("backend")
    parser.add_argument("model", type=Path)
    parser.add_argument("images", type=Path, help="uint8 (n, h, w, 3) BGR, as .npy")
    parser.add_argument("--drawn", type=int, default=12, help="number of images to classify")
    options = parser.parse_args()
    images = np.load(options.images)[: options.drawn]
    print(json.dumps({**_here(), **answers(options.backend, options.model, images)}))


def answers(backend: str, path: Path, images: NDArray[np.uint8]) -> dict[str, Any]:
    """Replay the golden frames of a file and classify images, uint8 (n, h, w, 3) BGR."""
    card = read_card(path)
    recorder = _Recorder(open_backend(path, card, name=backend, device="cpu", threads=1))
    with Classifier(recorder, card) as classifier:
        refused = ""
        try:
            classifier.self_test(path.name)
        except GateError as error:
            refused = str(error)
        golden = np.asarray(card.golden, np.float32)
        frames = np.stack([classifier.preprocess(image) for image in images])
        return {
            "refused": refused,
            "golden_error": logit_error(golden, recorder.logits[0][:, :GOLDEN_CLASSES], golden),
            "pixels": hashlib.sha256(frames.tobytes()).hexdigest(),
            "logits": [classifier.infer(frame[None])[0].tolist() for frame in frames],
        }


def _here() -> dict[str, Any]:
    """Describe the CPU as seen by a program."""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "features": features(),
    }


def features() -> list[str]:
    """Return the CPU's features, by NumPy's names, and on ARM those that NumPy does not detect."""
    core: Any = np._core if hasattr(np, "_core") else np.core
    found = [name for name, there in core._multiarray_umath.__cpu_features__.items() if there]
    if platform.machine() == "aarch64":
        getauxval = ctypes.CDLL(None).getauxval
        getauxval.restype = ctypes.c_ulong
        bits = getauxval(ctypes.c_ulong(_HWCAP2))
        found += [name for name, bit in _HWCAP2_BITS.items() if bits >> bit & 1]
    return found


if __name__ == "__main__":
    main()
