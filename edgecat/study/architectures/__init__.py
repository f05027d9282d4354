"""Which architecture for the same little training? AlexNet, VGG, GoogLeNet, Inception, ResNet.

All are thinned by the same factor, see the same pictures of the same size, end in global average
pooling, have batch norm and learn by the same recipe: their shapes are compared, not what they
reached on a million photographs, for which the papers named in `edgecat.models.registry` stand.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgecat.study.architectures.measured import Measurements
from edgecat.study.architectures.shown import outcome
from edgecat.study.frame import Advance, Outcome

__all__ = ["Architectures"]


@dataclass(frozen=True, kw_only=True)
class Architectures(Measurements):
    """The lecture's networks, thin, through the same short training."""

    def run(self, advance: Advance = lambda steps: None) -> Outcome:
        """Train each with every seed, then export the first of each and time them in turns."""
        return outcome(self, *self.measure(advance))
