"""Is a video more than its frames? Frame by frame, smoothed, and with an LSTM.

A network classifies each frame of clips with blur and occlusion. Its predictions are
used as they are, smoothed as in the camera loop (`loop/smoothing.py`), or computed from
its features by an LSTM (Hochreiter and Schmidhuber, 1997,
https://doi.org/10.1162/neco.1997.9.8.1735). The LSTM was trained on clips, the network was
not: so it is also compared with a memoryless reader trained on the same clips.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from edgecat.study.frame import Advance, Outcome
from edgecat.study.sequence.measured import Measurements
from edgecat.study.sequence.shown import outcome

__all__ = ["SequenceStudy"]


@dataclass(frozen=True, kw_only=True)
class SequenceStudy(Measurements):
    """A small VGG11 trained on images, and several readers of clips."""

    def measured(self, advance: Advance = lambda steps: None) -> Callable[[], Outcome]:
        """Train the network, make clips, train the readers, and evaluate all."""
        return partial(outcome, self, *self.measure(advance))
