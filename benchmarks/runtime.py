"""Measure the overhead of the runtime: `python benchmarks/runtime.py`.

Limits: a call costs at most 0.2 ms more than `preprocess` plus the bare ONNX Runtime session;
`preprocess` resizes a 1280x720 frame to 224x224 in at most 0.8 ms, within a mean of 2 grey
levels of INTER_AREA. Needs torch to make the network: a narrow VGG16.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np

from edgecat.models import architecture, build_model
from edgecat.models.checkpoint import golden_logits
from edgecat.pets.synthetic import draw_pet
from edgecat_export.graph.deployed import onnx_from_model
from edgecat_runtime import Classifier, ModelCard
from edgecat_runtime.model.artifact import seal_onnx
from edgecat_runtime.model.golden import golden_scene, preprocess_fingerprint
from edgecat_runtime.model.preprocess import preprocess
from edgecat_runtime.types import Image

OVERHEAD_BAR, PREPROCESS_BAR, DIFFERENCE_BAR = 0.2, 0.8, 2.0
_SIDE, _ROUNDS = 224, 200


SCENE = golden_scene()


def main() -> int:
    """Print the figures; return 1 if a limit is missed."""
    milliseconds = _timed(lambda: preprocess(SCENE, _SIDE, _SIDE))
    print(f"preprocess 1280x720 to 224: {milliseconds:.3f} ms (limit {PREPROCESS_BAR})")
    worst = max(_difference(frame) for frame in _scenes())
    print(f"  mean difference to INTER_AREA: {worst:.2f} grey levels (limit {DIFFERENCE_BAR})")
    with tempfile.TemporaryDirectory() as folder:
        overhead = _overhead(_narrow_vgg(Path(folder)))
    print(f"call minus preprocess and bare session: {overhead:.3f} ms (limit {OVERHEAD_BAR})")
    passed = overhead <= OVERHEAD_BAR and milliseconds <= PREPROCESS_BAR and worst <= DIFFERENCE_BAR
    return int(not passed)


def _overhead(path: Path) -> float:
    """Return the median over rounds of call minus (preprocess plus bare session), in ms."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # thread synchronisation would mask the difference
    bare = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    with Classifier.open(path, backend="onnxruntime", threads=1) as classifier:
        batch = classifier.preprocess(SCENE)[None]
        actions: tuple[Callable[[], object], ...] = (
            lambda: classifier.classify(SCENE),
            lambda: classifier.preprocess(SCENE),
            lambda: bare.run(None, {"frames": batch}),
        )
        rounds = [[_once(action) for action in actions] for _ in range(_ROUNDS)]
    whole, fitting, network = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"call {whole:.3f} ms = preprocess {fitting:.3f} + bare session {network:.3f} + overhead")
    return statistics.median(call - fit - net for call, fit, net in rounds)


def _narrow_vgg(folder: Path) -> Path:
    """Write a VGG16 at one eighth of the width, with initial weights."""
    known = architecture("vgg16")
    card = ModelCard(
        architecture="vgg16",
        labels=("cat", "dog"),
        height=_SIDE,
        width=_SIDE,
        layers=known.widths(head="gap", factor=1 / 8),
        head="gap",
        batch_norm=True,
    )
    model = build_model(card).eval()
    card = replace(
        card,
        golden=golden_logits(model, card),
        preprocess_golden=preprocess_fingerprint(_SIDE, _SIDE, "crop"),
    )
    path = folder / "narrow.onnx"
    path.write_bytes(seal_onnx(onnx_from_model(model, card), card))
    return path


def _scenes() -> list[Image]:
    """Return 1280x720 frames: the golden one and drawn pets."""
    pets = [cv2.resize(draw_pet(seed, seed % 2, 1280)[0], (1280, 720)) for seed in range(6)]
    return [SCENE, *(np.asarray(pet, np.uint8) for pet in pets)]


def _difference(frame: Image) -> float:
    """Return the mean absolute difference to the same crop with INTER_AREA, in grey levels."""
    left = (1280 - 720) // 2
    exact = cv2.resize(frame[:, left : left + 720], (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return float(np.abs(preprocess(frame, _SIDE, _SIDE).astype(np.int16) - exact).mean())


def _timed(action: Callable[[], object]) -> float:
    for _ in range(20):
        action()
    return statistics.median(_once(action) for _ in range(_ROUNDS))


def _once(action: Callable[[], object]) -> float:
    start = perf_counter()
    action()
    return 1000 * (perf_counter() - start)


if __name__ == "__main__":
    sys.exit(main())
