"""Do dropout and random erasing help? Trained on few images.

Sources: Srivastava et al., 2014, https://jmlr.org/papers/v15/srivastava14a.html (dropout); Zhong et
al., 2017, https://arxiv.org/abs/1708.04896, and DeVries and Taylor, 2017,
https://arxiv.org/abs/1708.04552 (random erasing and cutout).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from edgecat.study.dropout.measured import Measurements
from edgecat.study.dropout.shown import outcome
from edgecat.study.frame import Advance, Outcome

__all__ = ["Dropout"]


@dataclass(frozen=True, kw_only=True)
class Dropout(Measurements):
    """A network with VGG-like dense layers that overfits a small training set."""

    def measured(self, advance: Advance = lambda steps: None) -> Callable[[], Outcome]:
        """Train with and without, and evaluate on partly hidden images."""
        return partial(outcome, self, *self.measure(advance))
