"""The prediction for one frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgecat_runtime.errors import UserError
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.status import Status, displayed
from edgecat_runtime.types import Logits


@dataclass(frozen=True)
class Prediction:
    """The prediction for one frame.

    Attributes:
        label: the most probable class; None if unsure: the energy is above the card's limit, the
            frame shows none of the classes.
        confidence: the label's probability, 0..1; 0 if unsure, so that nothing acts on it.
        probabilities: one per class, in the order of the logits; they sum to 1.
        logits: the network's raw output.
        energy: -T log(sum(exp(logits / T))) at the card's temperature T: the lower, the closer the
            frame is to the training data (Liu et al. 2020, https://arxiv.org/abs/2010.03759,
            equation 4); NaN if not computed.
    """

    label: str | None
    confidence: float
    probabilities: dict[str, float]
    logits: tuple[float, ...]
    energy: float = math.nan

    @property
    def best(self) -> str:
        """The most probable class, even if the prediction is unsure."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def unsure(self) -> bool:
        """Whether the frame is judged to show none of the classes."""
        return self.label is None

    @property
    def status(self) -> Status:
        """Live, or unsure."""
        return Status.LIVE if self.label is not None else Status.UNSURE

    @property
    def displayed(self) -> str:
        """The label, or the word `unsure`."""
        return displayed(self.label, self.status)

    def __str__(self) -> str:
        return self.displayed if self.unsure else f"{self.label} {self.confidence:.1%}"


def predicted(logits: Logits, card: ModelCard) -> Prediction:
    """Turn one row of logits (classes,) into a prediction, at the card's temperature.

    Plain Python: behind a network NumPy's own code is out of the caches, and loading it again
    takes longer than the sum.

    Raises:
        UserError: the logits are not one row of what the card's network answers.
    """
    labels = card.labels
    if not isinstance(logits, np.ndarray) or logits.shape != (len(labels),):
        raise UserError(
            f"the logits have shape {np.shape(logits)}; expected an array ({len(labels)},)"
            ", one row of what infer returns"
        )
    values: list[float] = logits.tolist()
    top = max(values)
    temperature, limit = card.temperature, card.energy_limit
    exponents = [math.exp((value - top) / temperature) for value in values]
    total = sum(exponents)
    shares = [exponent / total for exponent in exponents]
    place = values.index(top)
    probabilities = dict(zip(labels, shares, strict=True))
    energy = -top - temperature * math.log(total)
    unsure = limit is not None and not energy <= limit
    label, confidence = (None, 0.0) if unsure else (labels[place], shares[place])
    return Prediction(label, confidence, probabilities, tuple(values), energy)
