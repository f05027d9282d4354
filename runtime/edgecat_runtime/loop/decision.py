"""The decision: a label with hysteresis, and `unsure` between labels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from edgecat_runtime.errors import UserError
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.prediction import Prediction


@dataclass(frozen=True)
class Thresholds:
    """Confidence thresholds: probabilities at the temperature of the model's card.

    Attributes:
        enter: a class becomes the label at or above this probability.
        leave: below this probability the label is doubtful; between the two it is held.
        patience: number of consecutive doubtful answers after which the label becomes `unsure`. A
            cut from one class to another is therefore one change, not two with `unsure` in between.

    Raises:
        UserError: not 0 < leave <= enter <= 1, or patience below 1.
    """

    enter: float = 0.7
    leave: float = 0.55
    patience: int = 3

    def __post_init__(self) -> None:
        if not 0 < self.leave <= self.enter <= 1:
            raise UserError(
                f"the enter threshold is {self.enter:g} and the leave threshold is "
                f"{self.leave:g}; expected 0 < leave <= enter <= 1"
            )
        if self.patience < 1:
            raise UserError(f"patience is {self.patience}; expected 1 or more answers")


class Decision:
    """A Schmitt trigger (hysteresis) on the probabilities and the energy of smoothed predictions.

    If the card has an energy limit, a class is accepted at or below the limit, and held until
    exp(-energy / T) falls below leave / enter of its value at the limit: the same ratio as that of
    the two probabilities, so that neither flickers at its threshold.

    Args:
        thresholds: the thresholds; None: the defaults.
    """

    def __init__(self, thresholds: Thresholds | None = None) -> None:
        self._thresholds = thresholds or Thresholds()
        self._label: str | None = None
        self._doubts = 0

    def __call__(self, prediction: Prediction, card: ModelCard) -> Prediction:
        """Decide on one prediction.

        Args:
            prediction: the smoothed prediction for a frame.
            card: card of the model that computed it.

        Returns:
            The same prediction with the held label and its probability, or unsure: no label and
            confidence 0.
        """
        held = self._held(prediction, card)
        self._label = held
        if held is None:
            return _labelled(prediction, None, 0.0)
        return _labelled(prediction, held, prediction.probabilities[held])

    def reset(self) -> None:
        """Clear the label, for example after a change of source."""
        self._label, self._doubts = None, 0

    def _held(self, prediction: Prediction, card: ModelCard) -> str | None:
        """Return the new label; None while unsure."""
        probabilities, limits, label = prediction.probabilities, self._thresholds, self._label
        best = prediction.best
        if not prediction.unsure and probabilities[best] >= limits.enter:
            self._doubts = 0
            return best
        if label not in probabilities:
            return None
        familiar = card.energy_limit is None or prediction.energy <= (
            card.energy_limit + card.temperature * math.log(limits.enter / limits.leave)
        )
        self._doubts = 0 if familiar and probabilities[label] >= limits.leave else self._doubts + 1
        return label if self._doubts < limits.patience else None


def _labelled(prediction: Prediction, label: str | None, confidence: float) -> Prediction:
    if (prediction.label, prediction.confidence) == (label, confidence):
        return prediction
    return replace(prediction, label=label, confidence=confidence)
