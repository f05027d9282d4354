"""Does forgetting on purpose help to see? Dropout and hidden squares, on few pictures.

Sources: Srivastava et al., 2014, https://jmlr.org/papers/v15/srivastava14a.html (dropout); Zhong et
al., 2017, https://arxiv.org/abs/1708.04896, and DeVries and Taylor, 2017,
https://arxiv.org/abs/1708.04552 (hiding parts of the pictures).
"""

from __future__ import annotations

from dataclasses import dataclass

from edgecat.study.dropout.measured import Measurements
from edgecat.study.dropout.shown import outcome
from edgecat.study.frame import Advance, Outcome

__all__ = ["Dropout"]


@dataclass(frozen=True, kw_only=True)
class Dropout(Measurements):
    """A network with dense layers, as VGG has them, that learns few pictures by heart."""

    def run(self, advance: Advance = lambda steps: None) -> Outcome:
        """Learn with and without, and judge pictures of which a part is hidden."""
        return outcome(self, *self.measure(advance))
