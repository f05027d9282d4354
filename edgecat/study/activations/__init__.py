"""Do gradients vanish, and is the sigmoid to blame? Activations by depth.

In a chain of layers the gradient is multiplied, layer by layer, by the weights and the activation's
derivative (Rumelhart et al., 1986, https://doi.org/10.1038/323533a0): at most 1/4 for a sigmoid
(Hochreiter, 1991; Glorot and Bengio, 2010, https://proceedings.mlr.press/v9/glorot10a.html) and
1 for an active ReLU (Nair and Hinton, 2010; He et al., 2015,
https://arxiv.org/abs/1502.01852, whose initialisation is used here). Batch norm rescales what
reaches each activation (Ioffe and Szegedy, 2015, https://arxiv.org/abs/1502.03167).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from edgecat.study.activations.measured import Measurements
from edgecat.study.activations.shown import outcome
from edgecat.study.frame import Advance, Outcome

__all__ = ["Activations"]


@dataclass(frozen=True, kw_only=True)
class Activations(Measurements):
    """Plain VGG-like networks with different activations."""

    def measured(self, advance: Advance = lambda steps: None) -> Callable[[], Outcome]:
        """Measure the initial gradients, then train some of the networks."""
        return partial(outcome, self, *self.measure(advance))
