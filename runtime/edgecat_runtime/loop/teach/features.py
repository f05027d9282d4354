"""Features of a model that was trained on something else, and their cache on disk."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.backends.onnxruntime import OnnxRuntimeBackend
from edgecat_runtime.backends.self_test import check_answers
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.artifact import read_card
from edgecat_runtime.model.preprocess import preprocess
from edgecat_runtime.model.taps import feature_taps
from edgecat_runtime.types import Frames, Image, Values

_KEY_BYTES = 16
_STAGES = 3
"""The last stages of the network whose outputs are taken beside the last layer's input."""


class Backbone:
    """A deployed model whose inner values describe an image.

    The features are the channels' largest values after each of the last stages, and what the last
    layer is given: what a network learned for its own classes is found late, what is useful for
    other things in the middle (Yosinski et al. 2014, https://arxiv.org/abs/1411.1792). Each part
    has length 1, after a square root, which keeps a few strong channels from deciding alone.

    Args:
        path: an `.onnx` file with a card, in any precision.
        threads: CPU threads; None: ONNX Runtime's default.

    Attributes:
        card: of the model.
        digest: names the model and this way of taking features, in a cache.

    Raises:
        BackendMissing: onnxruntime is not installed.
        CardError: no file, or no card.
        GateError: the model's logits differ here.
        UserError: the graph has no features to take.
    """

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        self.card = read_card(path)
        try:
            *stages, last = feature_taps(path.read_bytes())
        except ValueError as error:
            raise UserError(f"{path} has no features to learn from: {error}") from error
        taps = (*stages[-_STAGES:], last)
        self._backend = OnnxRuntimeBackend(path, threads=threads, taps=taps)
        check_answers(
            self._backend.infer, self.card, name=str(path), backend="onnxruntime", device="cpu"
        )
        named = f"{self.card.payload_sha256} {taps} 1"
        self.digest = hashlib.sha256(named.encode()).hexdigest()[:12]

    def fitted(self, image: Image) -> Image:
        """Fit an image (h, w, 3) to the network's input."""
        return preprocess(image, self.card.height, self.card.width, self.card.fit)

    def features(self, frames: Frames) -> Values:
        """Describe fitted frames, uint8 (n, height, width, 3) BGR: float32 (n, features)."""
        parts = self._backend.tapped(frames)[1:]
        return np.concatenate([_described(part) for part in parts], axis=1)

    def close(self) -> None:
        """Free the model."""
        self._backend.close()


def _described(part: NDArray[Any]) -> Values:
    values = part.astype(np.float32)
    pooled = values.max((2, 3)) if values.ndim == 4 else values.reshape(len(values), -1)
    rooted = np.sign(pooled) * np.sqrt(np.abs(pooled))
    length = np.linalg.norm(rooted, axis=1, keepdims=True)
    return np.asarray(rooted / np.maximum(length, 1e-6), np.float32)


class FeatureCache:
    """Features by image, in memory and in a file that is appended to.

    A record is a key of 16 bytes and float32 features. One that is cut off, or whose image is gone,
    does no harm. A file that cannot be written is only slower the next time.

    Args:
        path: the file; one of another model has another name.
        size: number of features.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._path, self._size = path, size
        self._record = np.dtype([("key", f"V{_KEY_BYTES}"), ("values", np.float32, (size,))])
        self._known: dict[bytes, Values] = {}
        with suppress(OSError):
            data = path.read_bytes()
            whole = len(data) // self._record.itemsize * self._record.itemsize
            for record in np.frombuffer(data[:whole], self._record):
                self._known[bytes(record["key"])] = record["values"].copy()
            if whole != len(data):
                with path.open("rb+") as file:
                    file.truncate(whole)

    @staticmethod
    def key(path: Path) -> bytes:
        """What stands for an image's file: its name, size and time, which moving it keeps.

        Raises:
            OSError: there is no such file.
        """
        status = path.stat()
        text = f"{path.name}\0{status.st_size}\0{status.st_mtime_ns}"
        return hashlib.blake2b(text.encode(), digest_size=_KEY_BYTES).digest()

    def get(self, key: bytes) -> Values | None:
        """The features (size,) of an image; None if they are not known."""
        return self._known.get(key)

    def put(self, key: bytes, values: Values) -> None:
        """Keep the features of an image, if they are not known."""
        if key in self._known:
            return
        self._known[key] = values
        record = np.array((key, values), self._record)
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab", buffering=0) as file:
                file.write(record.tobytes())
