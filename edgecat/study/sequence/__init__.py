"""Why is a video more than its frames? Frame by frame, smoothed, and with a memory.

A network looks at each frame of films with blur and things that pass in front. Its answers are
taken as they are, smoothed as the camera smooths them (`loop/smoothing.py`), or read from
its features by an LSTM (Hochreiter and Schmidhuber, 1997,
https://doi.org/10.1162/neco.1997.9.8.1735). The LSTM has learnt from such films, the network has
not: so a reader without memory that learnt from the same films is held against it.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgecat.study.frame import Advance, Outcome
from edgecat.study.sequence.measured import Measurements
from edgecat.study.sequence.shown import outcome

__all__ = ["SequenceStudy"]


@dataclass(frozen=True, kw_only=True)
class SequenceStudy(Measurements):
    """A small VGG11 that learnt from pictures, and ways to read films with it."""

    def run(self, advance: Advance = lambda steps: None) -> Outcome:
        """Let the network learn, film, let the readers learn, and judge all."""
        return outcome(self, *self.measure(advance))
