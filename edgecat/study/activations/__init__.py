"""Does the gradient vanish, and is it the sigmoid's fault? Activations by depth.

In a chain of layers the gradient is multiplied, layer by layer, by the weights and the activation's
slope (Rumelhart et al., 1986, https://doi.org/10.1038/323533a0). A sigmoid's slope is 1/4 at most
(Hochreiter, 1991; Glorot and Bengio, 2010, https://proceedings.mlr.press/v9/glorot10a.html); a
ReLU's is 1 where it is on (Nair and Hinton, 2010; He et al., 2015,
https://arxiv.org/abs/1502.01852, whose weights are drawn here).
"""

from __future__ import annotations

from dataclasses import dataclass

from edgecat.study.activations.measured import Measurements
from edgecat.study.activations.shown import outcome
from edgecat.study.frame import Advance, Outcome

__all__ = ["Activations"]


@dataclass(frozen=True, kw_only=True)
class Activations(Measurements):
    """Plain VGG-like networks without batch norm, their activations exchanged."""

    def run(self, advance: Advance = lambda steps: None) -> Outcome:
        """Measure the gradients at the start, then let some networks learn."""
        return outcome(self, *self.measure(advance))
