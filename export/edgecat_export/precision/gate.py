"""The accuracy gate: a converted graph against its float32 original, before anything is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecat_export.parity.comparison import (
    AGREEMENT_LIMITS,
    FLOAT_LIMITS,
    Pair,
    Tally,
    check_classes,
)
from edgecat_export.precision.scan import Progress, answer, answer_exactly
from edgecat_runtime.errors import GateError
from edgecat_runtime.model.artifact import read_card
from edgecat_runtime.model.card import GOLDEN_CLASSES, ModelCard, Precision
from edgecat_runtime.model.golden import golden_frames
from edgecat_runtime.model.parity import LOGIT_LIMITS, logit_error
from edgecat_runtime.types import Frames, Logits

LOSS_LIMITS: dict[Precision, float] = {"fp32": 0.0, "fp16": 0.001, "int8": 0.005}


@dataclass(frozen=True)
class Photographs:
    """Labelled photographs, preprocessed.

    Attributes:
        frames: uint8 (n, height, width, 3) BGR.
        labels: int64 (n,), indices into the card's labels.
    """

    frames: Frames
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        """Count the images."""
        return len(self.frames)


@dataclass(frozen=True)
class GateReport:
    """The comparison of a converted graph with float32.

    Attributes:
        precision: of the candidate; determines the limits.
        golden_error: worst logit error on the golden frames, relative to their spread.
        n: number of photographs, 0 if there are none; the figures below are then None.
        agreement: fraction of them with the same top class, 0..1.
        reference_accuracy: of float32 on them, 0..1.
        accuracy: of the candidate on them, 0..1.
    """

    precision: Precision
    golden_error: float
    n: int = 0
    agreement: float | None = None
    reference_accuracy: float | None = None
    accuracy: float | None = None

    @property
    def loss(self) -> float | None:
        """Accuracy loss, 0..1; negative if the candidate is better."""
        if self.reference_accuracy is None or self.accuracy is None:
            return None
        return self.reference_accuracy - self.accuracy

    @property
    def golden_passed(self) -> bool:
        """Whether the error on the golden frames is within the limit."""
        return self.golden_error <= FLOAT_LIMITS[self.precision]

    @property
    def passed(self) -> bool:
        """Whether all limits of the precision are met."""
        if self.agreement is None or self.loss is None:
            return self.golden_passed
        return (
            self.golden_passed
            and self.agreement >= AGREEMENT_LIMITS[self.precision]
            and self.loss <= LOSS_LIMITS[self.precision] + 1e-9
        )

    def __str__(self) -> str:
        text = (
            f"{'PASS' if self.passed else 'FAIL'}  {self.precision} against fp32: golden frames "
            f"differ by {self.golden_error:.1e} (limit {FLOAT_LIMITS[self.precision]:.0e})"
        )
        if self.loss is None:
            return f"{text}; no photographs, so only the golden frames were checked"
        return (
            f"{text}; {self.n} photographs: agreement {self.agreement:.2%} (limit "
            f"{AGREEMENT_LIMITS[self.precision]:.1%}), accuracy {self.reference_accuracy:.2%} to "
            f"{self.accuracy:.2%}, accuracy lost {self.loss * 100:.2f} points (limit "
            f"{LOSS_LIMITS[self.precision] * 100:.1f})"
        )


class Gate:
    """Compares candidates with the float32 graph's logits, which are computed once.

    An int8 candidate is computed as its graph specifies, in float, and on the golden frames in
    double precision, independent of this machine's integer kernels. The kernels of a backend that
    serves the file are checked against its golden logits on export and whenever it is opened.

    Args:
        payload: the float32 ONNX model.
        card: its card, with the golden logits of its source.
        photographs: to compare on; None: use only the golden frames.
        progress: called after each batch.

    Raises:
        GateError: the float32 graph itself does not reproduce the golden logits of its card.
    """

    def __init__(
        self,
        payload: bytes,
        card: ModelCard,
        photographs: Photographs | None = None,
        *,
        progress: Progress | None = None,
    ) -> None:
        self.golden = golden_frames(card.height, card.width)
        self._photographs = photographs if photographs is not None and len(photographs) else None
        self._progress = progress
        self._golden_reference = answer(payload, self.golden)
        _check_golden(self._golden_reference, card)
        self._reference = self._answers(payload, "evaluating fp32")

    def judge(self, candidate: bytes, precision: Precision, *, literal: bool = False) -> GateReport:
        """Compare a converted ONNX model with float32.

        Args:
            candidate: the converted model.
            precision: determines the limits.
            literal: round to half wherever the graph specifies it, as a GPU does (see `answer`).
        """
        if precision == "int8":
            golden = answer_exactly(candidate, self.golden, literal=literal)
        else:
            golden = answer(candidate, self.golden, literal=literal)
        error = logit_error(self._golden_reference, golden, self._golden_reference)
        if self._photographs is None or self._reference is None:
            return GateReport(precision, error)
        logits = self._answers(candidate, f"evaluating {precision}", literal=literal)
        assert logits is not None
        best, expected = logits.argmax(1), self._reference.argmax(1)
        labels = self._photographs.labels
        return GateReport(
            precision,
            error,
            n=len(labels),
            agreement=float((best == expected).mean()),
            reference_accuracy=float((expected == labels).mean()),
            accuracy=float((best == labels).mean()),
        )

    def _answers(self, payload: bytes, what: str, *, literal: bool = False) -> Logits | None:
        if self._photographs is None:
            return None
        frames = self._photographs.frames
        return answer(payload, frames, literal=literal, what=what, progress=self._progress)


def _check_golden(logits: Logits, card: ModelCard) -> None:
    golden = np.asarray(card.golden, np.float32)
    error = logit_error(golden, logits[:, :GOLDEN_CLASSES], golden)
    if not error <= LOGIT_LIMITS["fp32"]:
        raise GateError(
            f"the fp32 graph's logits for its golden frames differ by {error:.1e} of their spread; "
            f"at most {LOGIT_LIMITS['fp32']:.0e} is allowed. Export it again from its checkpoint"
        )


def exact_parity(path: str | Path) -> Pair:
    """Compare an ONNX file with the golden logits in its card, computed in double precision.

    Raises:
        CardError: the file has no card, or returns a different number of classes.
        CardDamaged: the file was modified after it was sealed.
    """
    card = read_card(path)
    golden = np.asarray(card.golden, np.float32)
    payload = Path(path).read_bytes()[: card.payload_bytes]
    logits = answer_exactly(payload, golden_frames(card.height, card.width), literal=True)
    check_classes(logits, card.classes, str(path))
    tally = Tally(golden)
    tally.add(golden, logits[:, :GOLDEN_CLASSES])
    return tally.pair("golden", str(path), "float64", card.precision)
