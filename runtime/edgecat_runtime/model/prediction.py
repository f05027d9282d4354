"""The answer to one frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

UNSURE = "unsure"


@dataclass(frozen=True)
class Prediction:
    """The answer to one frame.

    Attributes:
        label: the most probable class, or `unsure` where the card has an energy limit and the
            energy is above it: the frame shows none of the classes.
        confidence: the label's probability, 0..1; 0 where it is `unsure`, so that nobody acts on
            it.
        probabilities: by class, in the order of the logits; they add up to 1.
        logits: the network's raw output.
        energy: -T log(sum(exp(logits / T))) at the card's temperature T: the lower, the more the
            frame is like what was trained on (Liu et al. 2020, https://arxiv.org/abs/2010.03759,
            equation 4); NaN where nobody worked it out.
    """

    label: str
    confidence: float
    probabilities: dict[str, float]
    logits: tuple[float, ...]
    energy: float = math.nan

    @property
    def best(self) -> str:
        """The most probable class, also where the frame is taken to show none."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def unsure(self) -> bool:
        """Whether the frame is taken to show none of the classes."""
        return self.label == UNSURE and not self.confidence

    def __str__(self) -> str:
        return self.label if self.unsure else f"{self.label} {self.confidence:.1%}"
