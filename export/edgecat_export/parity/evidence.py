"""The evidence behind a comparison: error distribution, class agreement, and example frames."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgecat_export.parity.comparison import Tally
from edgecat_runtime.model.parity import logit_error
from edgecat_runtime.types import Frames, Logits

# Histogram bin edges: four per decade. Values beyond them count in the outermost bins.
EDGES = np.logspace(-9, 1, 41)
KEPT = 24


@dataclass(frozen=True)
class Case:
    """One frame and its two results.

    Attributes:
        index: of the frame among those compared.
        frame: uint8 (h, w, 3) BGR, preprocessed.
        expected: the reference's logits (classes,).
        found: the candidate's logits (classes,).
        error: worst logit difference, relative to the golden logits' spread.
    """

    index: int
    frame: Frames
    expected: Logits
    found: Logits
    error: float

    @property
    def agreed(self) -> bool:
        """Whether both have the same top class."""
        return bool(self.expected.argmax() == self.found.argmax())


@dataclass
class Evidence(Tally):
    """A tally that keeps the data of a report, in memory that does not grow with the data.

    Attributes:
        counts: frames by error, int64 (40,), see `EDGES`.
        answers: frames by (reference's class, candidate's class).
        cases: at most 24, disagreements first, then by decreasing error.
    """

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(EDGES) - 1, np.int64))
    answers: Counter[tuple[int, int]] = field(default_factory=Counter)
    cases: list[Case] = field(default_factory=list)

    def add(self, reference: Logits, candidate: Logits, frames: Frames | None = None) -> None:
        """Add a batch: logits (n, classes) and their frames (n, h, w, 3)."""
        start = self.n
        super().add(reference, candidate)
        self.answers.update(
            zip(reference.argmax(1).tolist(), candidate.argmax(1).tolist(), strict=True)
        )
        cases = list(self.cases)
        for i, (expected, found) in enumerate(zip(reference, candidate, strict=True)):
            error = logit_error(expected[None], found[None], self.golden)
            self.counts[_bin(error)] += 1
            if frames is not None:
                cases.append(Case(start + i, frames[i], expected, found, error))
        cases.sort(key=lambda case: (case.agreed, -case.error, case.index))
        self.cases = [_own(case) for case in cases[:KEPT]]

    @property
    def differing(self) -> int:
        """Frames on which the top classes differ."""
        return self.n - self.agreed


def _bin(error: float) -> int:
    """Index of the histogram bin; infinite errors fall into the last."""
    place = int(np.searchsorted(EDGES, error, side="right")) - 1
    return min(max(place, 0), len(EDGES) - 2)


def _own(case: Case) -> Case:
    """The case with its own copy of the frame, so that a view does not keep its batch alive."""
    if case.frame.base is None:
        return case
    return Case(case.index, case.frame.copy(), case.expected, case.found, case.error)
