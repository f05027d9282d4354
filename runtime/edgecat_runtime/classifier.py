"""The classifier: opens, self-tests and serves a model file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from os import PathLike
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.backends import Backend
from edgecat_runtime.backends.base import check_frames, closed
from edgecat_runtime.backends.choice import Candidate, Choice, candidates_for, fastest, log_choice
from edgecat_runtime.backends.choice_cache import ChoiceCache
from edgecat_runtime.backends.self_test import check_answers
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.golden import golden_frames
from edgecat_runtime.model.prediction import Prediction, predicted
from edgecat_runtime.model.preprocess import preprocess
from edgecat_runtime.model.versions import ModelVersion
from edgecat_runtime.system.stamp import FileStamp, file_stamp

log = logging.getLogger("edgecat_runtime")

# Minimum and maximum number of timed runs, and the seconds after which to stop; the best counts.
_FEWEST, _MOST, _LONG_ENOUGH = 3, 20, 0.15


class Classifier:
    """A model file opened with a backend and verified against its reference logits.

    Threads may share a classifier: they take turns where its backend takes one caller at a time.

    Attributes:
        card: the file's model card.
        device: the device it runs on: `cpu`, `cuda`, `cuda:1`, ...
        choice: how the backend was chosen; None if it was opened without a self-test.
        path: the file it was opened from; None if there is none.
        stamp: that file's stamp, just before it was opened.
        opened_with: arguments of `open_fastest` that open it again; None if there is no file.
        version: which model of a channel it is; None without one.

    Example:
        >>> with Classifier.open("vgg16.onnx") as classifier:  # doctest: +SKIP
        ...     print(classifier.classify(cv2.imread("cat.jpg")))
    """

    def __init__(self, backend: Backend, card: ModelCard, *, device: str = "cpu") -> None:
        self.card = card
        self.device = device
        self.choice: Choice | None = None
        self.path: Path | None = None
        self.stamp: FileStamp | None = None
        self._backend = backend
        self._closed = False
        self._turn: AbstractContextManager[object] = (
            nullcontext() if getattr(backend, "thread_safe", False) else Lock()
        )
        self.opened_with: dict[str, Any] | None = None
        self.version: ModelVersion | None = None

    @classmethod
    def open(
        cls,
        path: str | PathLike[str],
        *,
        backend: str = "auto",
        device: str = "auto",
        verify: bool = True,
        labels: Sequence[str] | None = None,
        threads: int | None = None,
        trust: str | PathLike[str] | None = None,
    ) -> Classifier:
        """Open a model file.

        Args:
            path: a file with a card: `.onnx`, or another type that a registered backend opens.
            backend: a registered name such as `onnxruntime`, or `auto` for the fastest here that
                passes the self-test (without self-test: the first installed).
            device: `cpu`, `cuda`, `tensorrt`, one of several GPUs as `cuda:1`, or `auto` for
                whatever the backend runs on.
            verify: run the golden frames and reject a model whose logits differ here.
            labels: replacement class names, in the order of the logits.
            threads: CPU threads; None: the backend's default.
            trust: a file of public keys: only models signed by one of them are opened. None: that
                of the environment variable EDGECAT_TRUST, otherwise every model.

        Raises:
            CardError: no file, no card, a newer schema, or the wrong number of labels.
            BackendMissing: the backend's library is not installed.
            GateError: the file was modified, is not signed as required, or failed the self-test.
        """
        options: dict[str, Any] = {"backend": backend, "device": device, "labels": labels}
        options |= {"threads": threads, "trust": trust}
        if verify:
            return cls.open_fastest([path], **options)
        stamp = file_stamp(Path(path))
        candidate = candidates_for(path, backend, device, labels, trust)[0]
        classifier = cls._opened(candidate, threads)
        log.info("opened %s with %s, without a self-test", path, classifier.backend)
        classifier.stamp = stamp
        classifier.opened_with = {"paths": [path], "cache": None, **options}
        return classifier

    @classmethod
    def open_fastest(
        cls,
        paths: Sequence[str | PathLike[str]],
        *,
        backend: str = "auto",
        device: str = "auto",
        labels: Sequence[str] | None = None,
        threads: int | None = None,
        trust: str | PathLike[str] | None = None,
        cache: Path | None = None,
        told: Callable[[int, int], None] = lambda done, total: None,
    ) -> Classifier:
        """Open the fastest of several variants of a model that passes its self-test here.

        Every variant is tried with every installed backend that supports it, in the given order.

        Args:
            paths: files with a card, such as a model in int8 and in fp16, in order of preference.
            backend: as `open` takes it.
            device: as `open` takes it.
            labels: as `open` takes them.
            threads: as `open` takes it.
            trust: as `open` takes it.
            cache: a folder to cache the choice in, per files, libraries, options and machine: the
                next time only the chosen candidate is opened and self-tested. None: no cache.
            told: progress callback, called with the number of candidates tried and the total, from
                0 on.

        Raises:
            EdgecatError: as `open`; if no candidate passes, the message names all of them.
        """
        stamps = {Path(path): file_stamp(Path(path)) for path in paths}
        found = [c for path in paths for c in candidates_for(path, backend, device, labels, trust)]
        kept = ChoiceCache.of(cache, found, threads) if cache and len(found) > 1 else None
        classifier = cls._remembered(found, threads, kept)
        if classifier is None:
            classifier, choice = fastest(
                found,
                lambda candidate: cls._proved(candidate, threads),
                cls._seconds,
                told=told,
            )
            classifier.choice = kept.write(choice) if kept else choice
        log_choice(classifier.choice)
        if classifier.path is not None:
            classifier.stamp = stamps[classifier.path]
        options: dict[str, Any] = {"backend": backend, "device": device, "labels": labels}
        options |= {"threads": threads, "trust": trust, "cache": cache}
        classifier.opened_with = {"paths": paths, **options}
        return classifier

    def open_again(self) -> Classifier:
        """Open the same file again with the same options, and self-test it.

        Raises:
            UserError: this one was not opened from a file.
            EdgecatError: as `open`.
        """
        if self.opened_with is None:
            raise UserError("this classifier was not opened from a file and cannot be reopened")
        return type(self).open_fastest(**self.opened_with)

    @classmethod
    def _remembered(
        cls, candidates: Sequence[Candidate], threads: int | None, kept: ChoiceCache | None
    ) -> Classifier | None:
        """Open the cached choice; None if there is none or it no longer passes."""
        choice = kept.read() if kept else None
        if choice is None:
            return None
        try:
            classifier = cls._proved(candidates[choice.taken], threads)
        except Exception:  # whatever the cause, measuring again finds what still passes
            log.debug("the cached choice fails: %s", choice, exc_info=True)
            return None
        classifier.choice = choice
        return classifier

    @classmethod
    def _opened(cls, candidate: Candidate, threads: int | None) -> Classifier:
        path, card, entry = candidate.path, candidate.card, candidate.entry
        classifier = cls(entry.open(path, card, threads), card, device=entry.device)
        classifier.path = path
        return classifier

    @classmethod
    def _proved(cls, candidate: Candidate, threads: int | None) -> Classifier:
        classifier = cls._opened(candidate, threads)
        try:
            classifier.self_test(str(candidate.path))
        except BaseException:
            classifier.close()
            raise
        return classifier

    def _seconds(self) -> float:
        """Time per frame after warm-up: the best of several."""
        frame = golden_frames(self.card.height, self.card.width)[:1]
        times: list[float] = []
        while len(times) < _FEWEST or (len(times) < _MOST and sum(times) < _LONG_ENOUGH):
            start = perf_counter()
            self.infer(frame)
            times.append(perf_counter() - start)
        return min(times)

    @property
    def backend(self) -> str:
        """Name of the backend."""
        return self._backend.name

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the logits."""
        return self.card.labels

    def preprocess(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Fit one frame (h, w, 3) BGR uint8 to the network's input: uint8 (height, width, 3)."""
        return preprocess(frame, self.card.height, self.card.width, self.card.fit)

    def infer(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run preprocessed frames: uint8 (n, height, width, 3) BGR to logits (n, classes).

        Raises:
            UserError: the frames have another shape or type, or the classifier was closed.
        """
        check_frames(frames, self.card.height, self.card.width)
        with self._turn:
            self._check_open()
            if not len(frames):  # no backend needs to know what to do with nothing
                return np.empty((0, self.card.classes), np.float32)
            return self._backend.infer(frames)

    def predict(self, logits: NDArray[np.float32]) -> Prediction:
        """Turn one row of logits (classes,) into a prediction, at the card's temperature.

        Raises:
            UserError: the logits are not one row of `infer`.
        """
        return predicted(logits, self.card)

    def classify(self, frame: NDArray[np.uint8]) -> Prediction:
        """Classify one frame: uint8 (h, w, 3) BGR.

        Raises:
            UserError: the frame has another shape or type, or the classifier was closed.
        """
        return self.predict(self.infer(self.preprocess(frame)[None])[0])

    def classify_batch(self, frames: Sequence[NDArray[np.uint8]]) -> list[Prediction]:
        """Classify several frames, each uint8 (h, w, 3) BGR of any size, in one batch.

        Raises:
            UserError: a frame has another shape or type, or the classifier was closed.
        """
        if not len(frames):
            return []
        batch = np.stack([self.preprocess(frame) for frame in frames])
        return [self.predict(row) for row in self.infer(batch)]

    def self_test(self, name: str = "the model") -> None:
        """Run the golden frames on this device and compare the results with the card.

        Raises:
            GateError: logits or preprocessing differ by more than the limits.
            CardError: the number of logits does not match the number of labels.
        """
        check_answers(self.infer, self.card, name=name, backend=self.backend, device=self.device)

    def close(self) -> None:
        """Free the backend, once what it runs is done; calling it twice is harmless."""
        with self._turn:
            self._closed = True
            self._backend.close()

    def _check_open(self) -> None:
        if self._closed:
            raise closed()

    def __enter__(self) -> Classifier:
        self._check_open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
