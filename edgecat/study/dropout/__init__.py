"""Do dropout and random erasing help? Trained on few images.

Sources: Srivastava et al., 2014, https://jmlr.org/papers/v15/srivastava14a.html (dropout); Zhong et
al., 2017, https://arxiv.org/abs/1708.04896, and DeVries and Taylor, 2017,
https://arxiv.org/abs/1708.04552 (random erasing and cutout).
"""

from __future__ import annotations

from dataclasses import dataclass

from edgecat.study.dropout.measured import Measurements
from edgecat.study.dropout.shown import outcome
from edgecat.study.frame import Advance, Outcome

__all__ = ["Dropout"]


@dataclass(frozen=True, kw_only=True)
class Dropout(Measurements):
    """A network with VGG-like dense layers that overfits a small training set."""

    def run(self, advance: Advance = lambda steps: None) -> Outcome:
        """Train with and without, and evaluate on partly hidden images."""
        return outcome(self, *self.measure(advance))
