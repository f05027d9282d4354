"""Full-batch gradient descent against mini-batches: by passes, by seconds, and how they wander.

Sources: Robbins and Monro, 1951, https://doi.org/10.1214/aoms/1177729586; LeCun et al., 1998,
Efficient BackProp, https://doi.org/10.1007/3-540-49430-8_2, section 4.1; Masters and Luschi, 2018,
https://arxiv.org/abs/1804.07612.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgecat.study.batch.measured import Measurements
from edgecat.study.batch.shown import outcome
from edgecat.study.frame import Advance, Outcome

__all__ = ["Batch"]


@dataclass(frozen=True, kw_only=True)
class Batch(Measurements):
    """One network, learning from all pictures at once or from a few at a time."""

    def run(self, advance: Advance = lambda steps: None) -> Outcome:
        """Find a rate for each size, learn with each, and compare gradients on the way."""
        return outcome(self, *self.measure(advance))
