"""The self-test: a model answers its golden frames here as it did where it was made."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgecat_runtime.backends.refusal import wrong_answer
from edgecat_runtime.errors import GateError
from edgecat_runtime.model.card import GOLDEN_CLASSES, CardError, ModelCard
from edgecat_runtime.model.golden import golden_frames, preprocess_difference
from edgecat_runtime.model.parity import LOGIT_LIMITS, PREPROCESS_LIMIT, logit_error
from edgecat_runtime.model.prediction import predicted
from edgecat_runtime.types import Frames, Logits


def check_answers(
    infer: Callable[[Frames], Logits], card: ModelCard, *, name: str, backend: str, device: str
) -> None:
    """Replay the golden frames, together and one alone, and make predictions of them.

    Args:
        infer: answers frames (n, height, width, 3) with logits (n, classes).
        card: of the model.
        name: of the model; its path, where it comes from a file.
        backend: that answers.
        device: that it runs on.

    Raises:
        GateError: logits or preprocessing differ by more than the limits.
        CardError: the number of logits does not match the number of labels.
    """
    if not card.golden:
        raise GateError(f"{name} has no golden logits for a self-test. Export it again")
    frames = golden_frames(card.height, card.width)
    golden = np.asarray(card.golden, np.float32)
    limit = LOGIT_LIMITS[card.precision]
    for count in (len(golden), 1):  # a camera runs one frame at a time
        logits = infer(frames[:count])
        if logits.shape != (count, card.classes):
            raise CardError(
                f"{name} returns logits of shape {logits.shape}; its card has {card.classes} "
                f"labels, so ({count}, {card.classes}) was expected. Export it again"
            )
        error = logit_error(golden[:count], logits[:, :GOLDEN_CLASSES], golden)
        if not error <= limit:
            raise wrong_answer(name, card, backend, device, error=error, limit=limit)
        for row in logits:
            predicted(row, card)
    difference = preprocess_difference(card.preprocess_golden, card.height, card.width, card.fit)
    if difference > PREPROCESS_LIMIT:
        raise GateError(
            f"preprocessing here differs by {difference:.1f} grey levels from preprocessing where "
            f"{name} was exported; at most {PREPROCESS_LIMIT:.0f} is allowed. Use the edgecat and "
            "OpenCV versions recorded in its card"
        )
