"""The evidence behind a comparison: how errors spread, who said what, and on which frames."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgecat_export.parity.comparison import Tally
from edgecat_runtime.model.parity import logit_error
from edgecat_runtime.types import Frames, Logits

# Bounds of the histogram's bins: four to the decade. What lies beyond counts in the outermost.
EDGES = np.logspace(-9, 1, 41)
KEPT = 24


@dataclass(frozen=True)
class Case:
    """One frame and the two answers to it.

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
        """Whether both have the same best class."""
        return bool(self.expected.argmax() == self.found.argmax())


@dataclass
class Evidence(Tally):
    """A tally that keeps what a report shows, in memory that does not grow with the data.

    Attributes:
        counts: frames by error, int64 (40,), see `EDGES`.
        answers: frames by (reference's class, candidate's class).
        cases: at most 24, those that disagree first, then by error, the worst first.
    """

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(EDGES) - 1, np.int64))
    answers: Counter[tuple[int, int]] = field(default_factory=Counter)
    cases: list[Case] = field(default_factory=list)

    def add(self, reference: Logits, candidate: Logits, frames: Frames | None = None) -> None:
        """Take in a batch: logits (n, classes) and the frames (n, h, w, 3) they answer."""
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
        """Frames on which the best classes differ."""
        return self.n - self.agreed


def _bin(error: float) -> int:
    """Number of the histogram's bin; an infinite error is in the last."""
    place = int(np.searchsorted(EDGES, error, side="right")) - 1
    return min(max(place, 0), len(EDGES) - 2)


def _own(case: Case) -> Case:
    """The case with a frame of its own, so that a view does not hold on to its whole batch."""
    if case.frame.base is None:
        return case
    return Case(case.index, case.frame.copy(), case.expected, case.found, case.error)
