"""Models opened to be timed, and the memory that they take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.backends import Backend, BackendEntry
from edgecat_runtime.backends.base import gpu_number
from edgecat_runtime.classifier import Classifier
from edgecat_runtime.errors import EdgecatError
from edgecat_runtime.model.artifact import read_card
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.golden import golden_frames
from edgecat_runtime.nvidia.cuda import open_gpu
from edgecat_runtime.system.machine import resident_bytes


@dataclass(frozen=True)
class Subject:
    """An open model to benchmark.

    Attributes:
        name: used in the results.
        classifier: the model.
        gpu_ms: returns the last batch's GPU time; None if the backend does not report it.
        memory_mb: memory used by opening it; 0 if not measured.
    """

    name: str
    classifier: Classifier
    gpu_ms: Callable[[], float] | None = None
    memory_mb: float = 0.0


@contextmanager
def opened(
    models: Sequence[tuple[str | Path, Sequence[BackendEntry]]],
    *,
    batch: int = 1,
    threads: int | None = None,
    skipped: Callable[[str], None] = lambda sentence: None,
) -> Iterator[list[Subject]]:
    """Open and self-test models one by one, measuring how much memory each uses.

    Args:
        models: paths, each with its backends, as returned by `backend_entries`.
        batch: size of the one batch that each model runs.
        threads: CPU threads; None: each backend's default.
        skipped: called with the reason when a backend is skipped: it cannot be started, rejects the
            model, or fails the self-test.

    Raises:
        EdgecatError: no backend works for a model; this is the first one's error.
    """
    with ExitStack() as stack:
        subjects: list[Subject] = []
        for path, entries in models:
            tried = [_tried(stack, Path(path), entry, batch, threads) for entry in entries]
            failures = [failure for failure in tried if not isinstance(failure, Subject)]
            if len(failures) == len(tried):
                raise failures[0]
            for failure in failures:
                skipped(f"skipped: {failure}")
            subjects += [subject for subject in tried if isinstance(subject, Subject)]
        yield subjects


def _tried(
    stack: ExitStack, path: Path, entry: BackendEntry, batch: int, threads: int | None
) -> Subject | EdgecatError:
    """The open model, which `stack` will close, or the error."""
    try:
        subject = _open(path, entry, batch, threads)
    except EdgecatError as error:
        return error
    stack.callback(subject.classifier.close)
    return subject


def _open(path: Path, entry: BackendEntry, batch: int, threads: int | None) -> Subject:
    with suppress(ImportError):  # the backend's own error is better
        import_module(entry.module)
    card = read_card(path)
    before = resident_bytes() - _gpu_free(entry.device)
    backend = entry.open(path, card, threads)
    classifier = Classifier(backend, card, device=entry.device)
    try:
        classifier.self_test(str(path))
        classifier.infer(golden_batch(card, batch))
    except BaseException:
        classifier.close()
        raise
    taken = max(0, resident_bytes() - _gpu_free(entry.device) - before)
    return Subject(str(path), classifier, _gpu_clock(backend), round(taken / 1e6, 1))


def golden_batch(card: ModelCard, batch: int) -> NDArray[np.uint8]:
    """Golden frames, repeated: uint8 (batch, height, width, 3)."""
    golden = golden_frames(card.height, card.width)
    return np.ascontiguousarray(golden[np.arange(batch) % len(golden)])


def _gpu_clock(backend: Backend) -> Callable[[], float] | None:
    """A function that returns the backend's GPU time, if it has an attribute `gpu_ms`."""
    return (lambda: float(backend.gpu_ms)) if hasattr(backend, "gpu_ms") else None


def _gpu_free(device: str) -> int:
    """Free bytes of the GPU; 0 for a backend that uses none."""
    with suppress(EdgecatError):
        return 0 if device == "cpu" else open_gpu(gpu_number(device)).free_memory()
    return 0
