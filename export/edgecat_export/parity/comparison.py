"""Parity: do two artifacts, or two backends, give the same predictions?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecat_runtime.classifier import Classifier
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.card import GOLDEN_CLASSES, Precision
from edgecat_runtime.model.golden import golden_frames
from edgecat_runtime.model.parity import LOGIT_LIMITS, logit_error
from edgecat_runtime.system.counting import number_of
from edgecat_runtime.types import Frames, Logits

# An int8 file is compared with its own golden logits. Against its float original, the predictions
# count and the error only has to be that of a sound calibration: golden frames span all grey levels
# and colours; good calibrations measured 0.01 to 0.2 of the spread, those on dull ones 0.4 to 0.6.
FLOAT_LIMITS: dict[Precision, float] = {**LOGIT_LIMITS, "int8": 0.3}
AGREEMENT_LIMITS: dict[Precision, float] = {"fp32": 1.0, "fp16": 0.999, "int8": 0.99}


@dataclass(frozen=True)
class Pair:
    """The comparison of a candidate with a reference.

    Attributes:
        reference: name of the reference.
        candidate: name of the candidate.
        backend: that ran the candidate.
        precision: of the candidate; determines the limits.
        n: number of frames compared.
        max_logit_error: worst logit difference, relative to the golden logits' spread.
        agreement: fraction of frames with the same top class, 0..1.

    Example:
        >>> pair = Pair("vgg16.safetensors", "vgg16.onnx", "onnxruntime", "fp32", 4, 3e-7, 1.0)
        >>> pair.passed
        True
    """

    reference: str
    candidate: str
    backend: str
    precision: Precision
    n: int
    max_logit_error: float
    agreement: float

    @property
    def logit_limit(self) -> float:
        """The maximum error allowed."""
        return LOGIT_LIMITS[self.precision]

    @property
    def passed(self) -> bool:
        """Whether error and agreement are within the precision's limits."""
        return (
            self.max_logit_error <= self.logit_limit
            and self.agreement >= AGREEMENT_LIMITS[self.precision]
        )

    def __str__(self) -> str:
        return (
            f"{'PASS' if self.passed else 'FAIL'}  {self.candidate} on {self.backend} "
            f"({self.precision}) against {self.reference}: worst logit error "
            f"{self.max_logit_error:.1e} (limit {self.logit_limit:.0e}), agreement "
            f"{self.agreement:.2%} of {self.n}"
        )


@dataclass(frozen=True)
class FloatPair(Pair):
    """The comparison of a candidate with a reference of another precision."""

    @property
    def logit_limit(self) -> float:
        """The maximum error allowed."""
        return FLOAT_LIMITS[self.precision]


@dataclass
class Tally:
    """Accumulates a comparison batch by batch, so that memory does not grow with the data.

    Attributes:
        golden: golden logits (4, classes), whose spread normalises the error.
        n: frames so far.
        worst: worst relative logit error so far.
        agreed: frames with the same top class so far.
    """

    golden: Logits
    n: int = 0
    worst: float = 0.0
    agreed: int = 0

    def add(self, reference: Logits, candidate: Logits, frames: Frames | None = None) -> None:
        """Add a batch of logits, both (n, classes); frames are for subclasses that keep some."""
        self.n += len(reference)
        self.worst = max(self.worst, logit_error(reference, candidate, self.golden))
        self.agreed += int((reference.argmax(1) == candidate.argmax(1)).sum())

    def pair(
        self,
        reference: str,
        candidate: str,
        backend: str,
        precision: Precision,
        *,
        against: Precision | None = None,
    ) -> Pair:
        """The result so far; `against` is the reference's precision, default: the candidate's."""
        agreement = self.agreed / self.n if self.n else 0.0
        kind = Pair if against in (None, precision) else FloatPair
        return kind(reference, candidate, backend, precision, self.n, self.worst, agreement)


def golden_parity(
    path: str | Path, backend: str, *, device: str = "auto", name: str | None = None
) -> Pair:
    """Compare a file with the golden logits in its own card.

    Args:
        path: the artifact.
        backend: to run it on.
        device: to run it on, see `Classifier.open`.
        name: for the report; default: the path.

    Raises:
        CardError: the file has no card, or returns a different number of classes.
        CardDamaged: the file was modified after it was sealed.
        BackendMissing: the backend's library is not installed.
    """
    with Classifier.open(path, backend=backend, device=device, verify=False) as classifier:
        card = classifier.card
        golden = np.asarray(card.golden, np.float32)
        logits = classifier.infer(golden_frames(card.height, card.width))
        check_classes(logits, card.classes, str(name or path))
        tally = Tally(golden)
        tally.add(golden, logits[:, :GOLDEN_CLASSES])
        return tally.pair("golden", str(name or path), backend, card.precision)


def compare(
    reference: Classifier,
    candidates: Sequence[Classifier],
    batches: Iterable[Frames],
    *,
    names: Sequence[str],
    tallies: Sequence[Tally] | None = None,
) -> list[Pair]:
    """Compare candidates with a reference on preprocessed frames.

    Args:
        reference: an open classifier.
        candidates: open classifiers, each with the reference's labels and input.
        batches: uint8 (n, height, width, 3) BGR, as returned by `Classifier.preprocess`.
        names: of the reference, then of each candidate.
        tallies: one accumulator per candidate, such as `Evidence`; default: `Tally`.

    Returns:
        One pair per candidate.

    Raises:
        UserError: a candidate has different labels or a different input than the reference.
    """
    for candidate, name in zip(candidates, names[1:], strict=True):
        _check_comparable(reference, candidate, names[0], name)
    golden = np.asarray(reference.card.golden, np.float32)
    tallies = [Tally(golden) for _ in candidates] if tallies is None else tallies
    for batch in batches:
        expected = reference.infer(batch)
        for tally, candidate in zip(tallies, candidates, strict=True):
            tally.add(expected, candidate.infer(batch), batch)
    return [
        tally.pair(
            *(names[0], name, candidate.backend, candidate.card.precision),
            against=reference.card.precision,
        )
        for tally, candidate, name in zip(tallies, candidates, names[1:], strict=True)
    ]


def check_classes(logits: Logits, classes: int, name: str) -> None:
    """Raise UserError unless `logits` has `classes` columns."""
    if logits.ndim != 2 or logits.shape[1] != classes:
        raise UserError(
            f"{name} returns logits of shape {logits.shape}; its card has "
            f"{number_of(classes, 'label')}. Export it again"
        )


def _check_comparable(reference: Classifier, candidate: Classifier, one: str, other: str) -> None:
    for what in ("labels", "height", "width", "fit"):
        expected, found = getattr(reference.card, what), getattr(candidate.card, what)
        if expected != found:
            raise UserError(
                f"{other} has {what} {found}; {one} has {expected}. "
                "Only models with the same labels and input can be compared"
            )
