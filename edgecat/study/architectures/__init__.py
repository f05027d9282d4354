"""Which architecture for a short training? AlexNet, VGG, GoogLeNet, Inception, ResNet.

All have the same channel multiplier, images and input size, end in global average
pooling, use batch norm and are trained with the same recipe: this compares their structure, not
their results on ImageNet, for which see the papers named in `edgecat.models.registry`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from edgecat.study.architectures.measured import Measurements
from edgecat.study.architectures.shown import outcome
from edgecat.study.frame import Advance, Outcome

__all__ = ["Architectures"]


@dataclass(frozen=True, kw_only=True)
class Architectures(Measurements):
    """The lecture's networks at reduced width, with the same short training."""

    def measured(self, advance: Advance = lambda steps: None) -> Callable[[], Outcome]:
        """Train each with every seed, then export the first of each and benchmark them."""
        return partial(outcome, self, *self.measure(advance))
