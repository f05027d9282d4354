"""Do shortcuts save a deep network's gradient? With and without them, and batch norm.

He et al. (2015, https://arxiv.org/abs/1512.03385, section 4.2) compare plain and residual networks
of equal depth and weights, all with batch norm, and report that the plain ones' gradients do not
vanish (section 4.1). Later explanations: gradients that lose their structure with depth (Balduzzi
et al., 2017, https://arxiv.org/abs/1702.08591), and a smoother loss (Li et al., 2018,
https://arxiv.org/abs/1712.09913).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from edgecat.study.frame import Advance, Outcome
from edgecat.study.shortcuts.measured import Measurements
from edgecat.study.shortcuts.shown import outcome

__all__ = ["Shortcuts"]


@dataclass(frozen=True, kw_only=True)
class Shortcuts(Measurements):
    """Networks with the same weights, with or without shortcuts and batch norm."""

    def measured(self, advance: Advance = lambda steps: None) -> Callable[[], Outcome]:
        """Measure the initial gradients at several depths, then train the ends of the range."""
        return partial(outcome, self, *self.measure(advance))
