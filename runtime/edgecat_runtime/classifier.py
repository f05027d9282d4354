"""The classifier: a model file opened, proved and served."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.artifact import read_card
from edgecat_runtime.backends import Backend, backend_entries
from edgecat_runtime.card import GOLDEN_CLASSES, CardError, ModelCard, Precision
from edgecat_runtime.choice import Candidate, Choice, fastest
from edgecat_runtime.choice_cache import ChoiceCache
from edgecat_runtime.errors import GateError, UserError
from edgecat_runtime.golden import golden_frames, preprocess_difference
from edgecat_runtime.preprocess import preprocess
from edgecat_runtime.refusal import wrong_answer

log = logging.getLogger("edgecat_runtime")

# Worst logit error relative to the spread of the golden logits, by precision.
LOGIT_LIMITS: dict[Precision, float] = {"fp32": 1e-4, "fp16": 5e-3, "int8": 5e-2}
PREPROCESS_LIMIT = 1.0
UNSURE = "unsure"
# A frame is timed so often, and so long (seconds) where it is quick; the best time counts.
_FEWEST, _MOST, _LONG_ENOUGH = 3, 20, 0.15


@dataclass(frozen=True)
class Prediction:
    """The answer to one frame.

    Attributes:
        label: the most probable class, or `unsure` where the card has an energy limit and the
            energy is above it: the frame shows none of the classes.
        confidence: the label's probability, 0..1; 0 where it is `unsure`, so that nobody acts on
            it.
        probabilities: by class, in the order of the logits; they add up to 1.
        logits: the network's raw output.
        energy: -T log(sum(exp(logits / T))) at the card's temperature T: the lower, the more the
            frame is like what was trained on (Liu et al. 2020, https://arxiv.org/abs/2010.03759,
            equation 4); NaN where nobody worked it out.
    """

    label: str
    confidence: float
    probabilities: dict[str, float]
    logits: tuple[float, ...]
    energy: float = math.nan

    @property
    def best(self) -> str:
        """The most probable class, also where the frame is taken to show none."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def unsure(self) -> bool:
        """Whether the frame is taken to show none of the classes."""
        return self.label == UNSURE and not self.confidence

    def __str__(self) -> str:
        return self.label if self.unsure else f"{self.label} {self.confidence:.1%}"


class FileStamp(NamedTuple):
    """What changes with a file's contents: when it was written (ns), its size and its number."""

    written: int
    size: int
    number: int


def file_stamp(path: Path) -> FileStamp | None:
    """Return the stamp of a file; None where there is none."""
    try:
        state = path.stat()
    except OSError:
        return None
    return FileStamp(state.st_mtime_ns, state.st_size, state.st_ino)


class Classifier:
    """A model file, opened with a backend and proved to answer as its author's did.

    Attributes:
        card: what the file says of itself.
        device: that it runs on: `cpu`, `cuda`, ...
        choice: why this backend answers, where it was self-tested; None where it was not.
        path: of the file that it was opened from; None where there is none.
        stamp: of that file, just before it was opened.

    Example:
        >>> with Classifier.open("vgg16.onnx") as classifier:  # doctest: +SKIP
        ...     print(classifier.classify(cv2.imread("cat.jpg")))
    """

    def __init__(
        self,
        backend: Backend,
        card: ModelCard,
        *,
        device: str = "cpu",
        choice: Choice | None = None,
    ) -> None:
        self.card = card
        self.device = device
        self.choice = choice
        self.path: Path | None = None
        self.stamp: FileStamp | None = None
        self._backend = backend
        self._again: Callable[[], Classifier] | None = None

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        backend: str = "auto",
        device: str = "auto",
        verify: bool = True,
        labels: Sequence[str] | None = None,
        threads: int | None = None,
    ) -> Classifier:
        """Open a model file.

        Args:
            path: a file with a card: `.onnx`, or what a registered backend opens.
            backend: a registered name such as `onnxruntime`, or `auto` for the fastest here that
                passes the self-test (the first installed without one).
            device: `cpu`, `cuda`, `tensorrt`, or `auto` for whatever the backend runs on.
            verify: replay the golden frames and refuse a model that answers differently here.
            labels: other names for the classes, in the order of the logits.
            threads: of the CPU; None leaves the choice to the backend.

        Raises:
            CardError: no file, no card, a card of the future, or a wrong number of labels.
            BackendMissing: the backend's library is not installed.
            GateError: the file was changed, or its golden frames are answered differently.
        """
        if verify:
            return cls.open_fastest(
                [path], backend=backend, device=device, labels=labels, threads=threads
            )
        stamp = file_stamp(Path(path))
        candidate = _candidates(path, backend, device, labels)[0]
        classifier = cls._opened(candidate, threads)
        classifier.stamp = stamp
        classifier._again = partial(
            cls.open, path, backend=backend, device=device, labels=labels, threads=threads
        )
        return classifier

    @classmethod
    def open_fastest(
        cls,
        paths: Sequence[str | Path],
        *,
        backend: str = "auto",
        device: str = "auto",
        labels: Sequence[str] | None = None,
        threads: int | None = None,
        cache: Path | None = None,
        told: Callable[[int, int], None] = lambda done, total: None,
    ) -> Classifier:
        """Open one of several forms of a model: the fastest that passes its self-test here.

        Every form is tried with every backend that is installed for it, in the order given.

        Args:
            paths: files with a card, such as a model in int8 and in fp16, the preferred first.
            backend: as `open` takes it.
            device: likewise.
            labels: likewise.
            threads: likewise.
            cache: a folder to remember the choice in, for these files, libraries and options on
                this machine: then only what was chosen is opened, and self-tested, the next time.
                None: nothing is remembered or written.
            told: called with how many of how many candidates were tried, first with 0.

        Raises:
            EdgecatError: as `open`; where no candidate passes, all are named.
        """
        stamps = {Path(path): file_stamp(Path(path)) for path in paths}
        found = [c for path in paths for c in _candidates(path, backend, device, labels)]
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
        if classifier.path is not None:
            classifier.stamp = stamps[classifier.path]
        classifier._again = partial(
            cls.open_fastest,
            paths,
            backend=backend,
            device=device,
            labels=labels,
            threads=threads,
            cache=cache,
        )
        return classifier

    def open_again(self) -> Classifier:
        """Open the same file once more, with the same options, self-tested.

        Raises:
            UserError: this one was not opened from a file.
            EdgecatError: as `open`.
        """
        if self._again is None:
            raise UserError("a classifier that comes from no file cannot be opened again")
        return self._again()

    @classmethod
    def _remembered(
        cls, candidates: Sequence[Candidate], threads: int | None, kept: ChoiceCache | None
    ) -> Classifier | None:
        """Open what was chosen before; None where it was nothing, or no longer passes."""
        choice = kept.read() if kept else None
        if choice is None:
            return None
        try:
            classifier = cls._proved(candidates[choice.taken], threads)
        except Exception:  # whatever it is: what still passes is found by measuring again
            log.debug("the remembered choice fails: %s", choice, exc_info=True)
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
        """Time for one frame, once warm: the best of several."""
        frame = golden_frames(self.card.height, self.card.width)[:1]
        times: list[float] = []
        while len(times) < _FEWEST or (len(times) < _MOST and sum(times) < _LONG_ENOUGH):
            start = perf_counter()
            self.infer(frame)
            times.append(perf_counter() - start)
        return min(times)

    @property
    def backend(self) -> str:
        """Name of the backend that answers."""
        return self._backend.name

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the logits."""
        return self.card.labels

    def preprocess(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Fit one frame (h, w, 3) BGR uint8 to the network: uint8 (height, width, 3)."""
        return preprocess(frame, self.card.height, self.card.width, self.card.fit)

    def infer(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Answer preprocessed frames: uint8 (n, height, width, 3) BGR to logits (n, classes)."""
        return self._backend.infer(frames)

    def predict(self, logits: NDArray[np.float32]) -> Prediction:
        """Turn one row of logits (classes,) into a prediction, at the temperature.

        Plain Python: behind a network NumPy's own code is out of the caches, and loading it again
        takes longer than the sum.
        """
        values: list[float] = logits.tolist()
        top = max(values)
        temperature, limit = self.card.temperature, self.card.energy_limit
        exponents = [math.exp((value - top) / temperature) for value in values]
        total = sum(exponents)
        shares = [exponent / total for exponent in exponents]
        place = values.index(top)
        probabilities = dict(zip(self.labels, shares, strict=True))
        energy = -top - temperature * math.log(total)
        label, confidence = self.labels[place], shares[place]
        if limit is not None and not energy <= limit:
            label, confidence = UNSURE, 0.0
        return Prediction(label, confidence, probabilities, tuple(values), energy)

    def classify(self, frame: NDArray[np.uint8]) -> Prediction:
        """Classify one frame: uint8 (h, w, 3) BGR.

        Raises:
            UserError: the frame has another shape or type.
        """
        return self.predict(self.infer(self.preprocess(frame)[None])[0])

    def classify_batch(self, frames: Sequence[NDArray[np.uint8]]) -> list[Prediction]:
        """Classify several frames, each uint8 (h, w, 3) BGR of any size, in one batch."""
        if not len(frames):
            return []
        batch = np.stack([self.preprocess(frame) for frame in frames])
        return [self.predict(row) for row in self.infer(batch)]

    def self_test(self, name: str = "the model") -> None:
        """Replay the golden frames on this device.

        Raises:
            GateError: logits or preprocessing differ by more than the limits (DESIGN, parity).
            CardError: the model answers with another number of classes than it has labels.
        """
        card = self.card
        if not card.golden:
            raise GateError(f"{name} carries no golden logits to test it with. Export it again")
        logits = self.infer(golden_frames(card.height, card.width))
        if logits.shape != (len(card.golden), card.classes):
            raise CardError(
                f"{name} answers with shape {logits.shape}; its card has {card.classes} labels, "
                f"so ({len(card.golden)}, {card.classes}) was expected. Export it again"
            )
        golden = np.asarray(card.golden, np.float32)
        error = logit_error(golden, logits[:, :GOLDEN_CLASSES], golden)
        limit = LOGIT_LIMITS[card.precision]
        if not error <= limit:
            raise wrong_answer(name, card, self.backend, self.device, error=error, limit=limit)
        difference = preprocess_difference(
            card.preprocess_golden, card.height, card.width, card.fit
        )
        if difference > PREPROCESS_LIMIT:
            raise GateError(
                f"frames are preprocessed {difference:.1f} grey levels differently here than where "
                f"{name} was made; at most {PREPROCESS_LIMIT:.0f} is allowed. Use the edgecat and "
                "OpenCV versions that its card names"
            )

    def close(self) -> None:
        """Free the backend; calling it twice is harmless."""
        self._backend.close()

    def __enter__(self) -> Classifier:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _candidates(
    path: str | Path, backend: str, device: str, labels: Sequence[str] | None
) -> list[Candidate]:
    """The ways of running one file that its options allow, the preferred first."""
    path = Path(path)
    card = read_card(path)
    if labels is not None:
        card = card.with_labels(tuple(labels))
    return [
        Candidate(path, card, entry) for entry in backend_entries(path, name=backend, device=device)
    ]


def logit_error(
    reference: NDArray[np.float32], candidate: NDArray[np.float32], golden: NDArray[np.float32]
) -> float:
    """Worst absolute difference of logits relative to the spread of the golden logits.

    Args:
        reference: (n, classes).
        candidate: (n, classes).
        golden: (4, classes), whose maximum minus minimum is the spread.

    Returns:
        The error, infinite where a logit is not finite.
    """
    difference = float(np.abs(reference - candidate).max()) if len(reference) else 0.0
    spread = max(float(golden.max() - golden.min()), float(np.finfo(np.float32).tiny))
    return difference / spread if np.isfinite(difference) else float("inf")
