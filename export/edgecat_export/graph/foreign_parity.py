"""A foreign classifier's own file as the reference of a comparison with its wrapped form.

It is asked as another program would ask it: through ONNX Runtime, with frames normalised as the
wrapped model's card states. Both are compared in what the original answers, logits or
probabilities, as the export compares them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat_export.graph.foreign_answers import Reference, answers, open_session, precision_of
from edgecat_export.graph.foreign_answers import reference as asked
from edgecat_export.graph.foreign_file import parsed
from edgecat_export.graph.foreign_graph import keep_output, plain
from edgecat_export.graph.foreign_input import Colour
from edgecat_export.graph.foreign_scores import Scores, as_answered, judged, total_of
from edgecat_runtime.classifier import Classifier
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.parity import logit_error
from edgecat_runtime.types import Frames, Logits

_LEAST = 1e-7


class OriginalModel:
    """A foreign model that answers deployed frames, as a `Backend`.

    Attributes:
        known: how it takes frames, and what it answers to those it was tried on.
        scores: what its output means.
        card: the wrapped model's, with this one's precision and answers as golden logits.

    Args:
        payload: the foreign ONNX model.
        card: the wrapped model's card: labels, size, mean and standard deviation.
        colour: the order of the colours that it takes; None: RGB, or grey for one channel.

    Raises:
        UserError: ONNX Runtime does not run it, or it has no output of as many classes as labels.
        GateError: it answers NaN or infinity.
    """

    name = "onnxruntime"

    def __init__(self, payload: bytes, card: ModelCard, colour: Colour | None = None) -> None:
        original = plain(parsed(payload))
        self.known: Reference = asked(original, card, colour)
        self._session: Any = open_session(original.SerializeToString())
        precision = precision_of(original, self.known)
        keep_output(original.graph, self.known.output)
        self.scores: Scores = judged(
            original.graph, self.known.values, card.classes, coarse=self.known.coarse
        )
        golden = tuple(map(tuple, self._columns(self.known.values).tolist()))
        self.card = replace(card, precision=precision, golden=golden)

    @property
    def frames(self) -> Frames:
        """What it was tried on, uint8 (12, h, w, 3) BGR: golden frames, their negatives, noise."""
        return self.known.frames

    @property
    def fed(self) -> str:
        """How it is given frames, for people."""
        source, card = self.known.source, self.card
        order = {"rgb": "RGB", "bgr": "BGR", "grey": "grey"}[self.known.colour]
        if source.raw:
            return f"{order}, pixel values 0 to 255"
        mean, std = (",".join(f"{v:.4g}" for v in values) for values in (card.mean, card.std))
        return f"{order}, mean {mean}, std {std}"

    def infer(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What it answers to uint8 (n, h, w, 3) BGR: (n, classes), logits or probabilities."""
        return self._columns(answers(self._session, self.known, frames, self.card))

    def close(self) -> None:
        """Release the session."""
        self._session = None

    def same_terms(self, classifier: Classifier) -> Classifier:
        """A wrapped model that answers what the original does: probabilities where that does."""
        return Classifier(_Answering(classifier, self), classifier.card, device=classifier.device)

    def as_logits(self, values: Logits) -> Logits:
        """Answers (n, classes) as logits, for people to look at; small ones are cut off."""
        if self.scores.kind in ("logits", "one logit"):
            return values
        shares = np.clip(values / total_of(self.known.values), _LEAST, 1 - _LEAST)
        logits = np.log(shares)
        if self.scores.kind == "sigmoids":
            logits -= np.log(1 - shares)
        return np.asarray(logits, np.float32)

    def _columns(self, values: Logits) -> Logits:
        """One value for two classes as two columns, so that the larger one is the answer."""
        if values.shape[1] > 1:
            return values
        whole = total_of(self.known.values) if self.scores.kind == "one probability" else 0.0
        rest = whole - values if whole else np.zeros_like(values)
        return np.concatenate([rest, values], axis=1)

    def answered(self, logits: Logits) -> Logits:
        """A wrapped model's logits (n, classes) as what the original answers."""
        return self._columns(as_answered(logits, self.known.values, self.scores))


def original_model(payload: bytes, card: ModelCard, wrapped: Classifier) -> OriginalModel:
    """Open a foreign model as the reference of its wrapped form.

    The card does not say in which order the model takes its colours. The order is the one in which
    the original answers most like the wrapped model; `known.colour` says which.

    Raises:
        UserError: see `OriginalModel`.
        GateError: see `OriginalModel`.
    """
    first = OriginalModel(payload, card)
    if first.known.source.channels == 1:
        return first
    both = first, OriginalModel(payload, card, "bgr")
    return min(both, key=lambda model: _distance(model, wrapped))


def _distance(model: OriginalModel, wrapped: Classifier) -> float:
    expected = model.infer(model.frames)
    return logit_error(expected, model.answered(wrapped.infer(model.frames)), expected)


class _Answering:
    """A classifier whose logits are turned into what the original answers, as a `Backend`."""

    def __init__(self, classifier: Classifier, original: OriginalModel) -> None:
        self.name = classifier.backend
        self._classifier, self._original = classifier, original

    def infer(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._original.answered(self._classifier.infer(frames))

    def close(self) -> None:
        self._classifier.close()
