"""The decision: a label that is held until it is doubtful, and `unsure` in between."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from edgecat_runtime.errors import UserError
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.prediction import UNSURE, Prediction


@dataclass(frozen=True)
class Thresholds:
    """How sure an answer has to be: probabilities at the temperature of the model's card.

    Attributes:
        enter: from this probability on a class becomes the label.
        leave: below this one the label is doubtful; between the two it is held.
        patience: a label is given up for `unsure` when so many answers in a row were doubtful. So
            a cut from one class to another is one change, not two with `unsure` between them.

    Raises:
        UserError: not 0 < leave <= enter <= 1, or less than one answer.
    """

    enter: float = 0.7
    leave: float = 0.55
    patience: int = 3

    def __post_init__(self) -> None:
        if not 0 < self.leave <= self.enter <= 1:
            raise UserError(
                f"a label is taken at {self.enter:g} and left at {self.leave:g}; expected "
                "0 < leave <= enter <= 1"
            )
        if self.patience < 1:
            raise UserError(f"patience is {self.patience}; expected 1 or more answers")


class Decision:
    """A Schmitt trigger on the probabilities and the energy of smoothed answers.

    Where the card has an energy limit, a class is taken at or below the limit, and held until
    exp(-energy / T) is less than leave / enter of what it is there: the same ratio as that of the
    two probabilities, so that neither flickers at its threshold.

    Args:
        thresholds: that it obeys.
    """

    def __init__(self, thresholds: Thresholds | None = None) -> None:
        self._thresholds = thresholds or Thresholds()
        self._label: str | None = None
        self._doubts = 0

    def __call__(self, prediction: Prediction, card: ModelCard) -> Prediction:
        """Decide on one answer.

        Args:
            prediction: to a frame, smoothed.
            card: of the model that gave it.

        Returns:
            The same answer with the label that is held and its probability, or `unsure` with
            confidence 0.
        """
        held = self._held(prediction, card)
        self._label = held
        if held is None:
            return prediction if prediction.unsure else _labelled(prediction, UNSURE, 0.0)
        return _labelled(prediction, held, prediction.probabilities[held])

    def reset(self) -> None:
        """Forget the label, as after a change of source."""
        self._label, self._doubts = None, 0

    def _held(self, prediction: Prediction, card: ModelCard) -> str | None:
        """Return the label from now on; None while unsure."""
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


def _labelled(prediction: Prediction, label: str, confidence: float) -> Prediction:
    if (prediction.label, prediction.confidence) == (label, confidence):
        return prediction
    return replace(prediction, label=label, confidence=confidence)
