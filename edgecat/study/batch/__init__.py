"""Full-batch gradient descent against mini-batches: by epochs, by time, and by path.

Sources: Robbins and Monro, 1951, https://doi.org/10.1214/aoms/1177729586; LeCun et al., 1998,
Efficient BackProp, https://doi.org/10.1007/3-540-49430-8_2, section 4.1; Masters and Luschi, 2018,
https://arxiv.org/abs/1804.07612.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from edgecat.study.batch.measured import Measurements
from edgecat.study.batch.shown import outcome
from edgecat.study.frame import Advance, Outcome

__all__ = ["Batch"]


@dataclass(frozen=True, kw_only=True)
class Batch(Measurements):
    """One network, trained with the full batch or with mini-batches."""

    def measured(self, advance: Advance = lambda steps: None) -> Callable[[], Outcome]:
        """Find a learning rate per batch size, train with each, and compare gradients."""
        return partial(outcome, self, *self.measure(advance))
