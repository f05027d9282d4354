"""The batch size with which a classifier is fastest, measured once per machine."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from time import perf_counter

import numpy as np

from edgecat._version import __version__
from edgecat.workflows.serving import choices_folder
from edgecat_runtime.classifier import Classifier
from edgecat_runtime.errors import EdgecatError
from edgecat_runtime.model.golden import golden_frames
from edgecat_runtime.system.atomic import atomic_write
from edgecat_runtime.system.machine import processor
from edgecat_runtime.types import Frames

_SIZES = (1, 2, 4, 8, 16, 32)
_GAIN = 0.97  # time per image that a larger batch must get below, as a share of the best so far
_MISSES = 2  # sizes in a row that are no faster; then no larger one is tried
_RUNS = 3


def best_batch(classifier: Classifier, sha256: str) -> int:
    """Return the smallest batch size that is about as fast as the fastest.

    It is cached in the user's cache folder, so that every run on this machine forms the same
    batches.

    Args:
        classifier: opened as the workers open it: with one thread.
        sha256: of the model file.
    """
    kept = _cache(classifier, sha256)
    try:
        size = json.loads(kept.read_bytes())["batch"] if kept else None
        if size in _SIZES:
            return int(size)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    size = _measured(classifier)
    try:
        if kept:
            atomic_write(kept, json.dumps({"batch": size}))
    except EdgecatError:
        pass  # measured again next time
    return size


def _measured(classifier: Classifier) -> int:
    golden = golden_frames(classifier.card.height, classifier.card.width)
    best, seconds, misses = 1, float("inf"), 0
    for size in _SIZES:
        frames = np.resize(golden, (size, *golden.shape[1:]))
        found = min(_seconds(classifier, frames) for _ in range(_RUNS)) / size
        if found < _GAIN * seconds:
            best, seconds, misses = size, found, 0
            continue
        misses += 1
        if misses == _MISSES:
            break
    return best


def _seconds(classifier: Classifier, frames: Frames) -> float:
    start = perf_counter()
    classifier.infer(frames)
    return perf_counter() - start


def _cache(classifier: Classifier, sha256: str) -> Path | None:
    folder = choices_folder()
    if folder is None:
        return None
    key = (sha256, classifier.backend, classifier.device, processor(), __version__)
    digest = hashlib.sha256("\0".join(key).encode()).hexdigest()
    return folder.with_name("batches") / f"{digest[:32]}.json"
