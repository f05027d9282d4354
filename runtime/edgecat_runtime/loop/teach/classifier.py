"""The classifier of a loop that is being taught: its classes change while it runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.classifier import Classifier
from edgecat_runtime.loop.teach.features import Backbone
from edgecat_runtime.loop.teach.taught import Taught
from edgecat_runtime.model.prediction import Prediction

NOTHING = "nothing shown yet"


class _Features:
    """A backbone behind the backend protocol: its answers are features."""

    name = "onnxruntime"
    thread_safe = True

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone

    def infer(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the features (n, features) of fitted frames."""
        return self._backbone.features(frames)

    def close(self) -> None:
        """Free the model."""
        self._backbone.close()


class TaughtClassifier(Classifier):
    """Answers from features and the newest head.

    What it infers are features, not logits, so that the loop's average over frames stays right
    when the head or the number of classes changes between two of them.

    Args:
        backbone: describes frames; closed with this.

    Attributes:
        taught: what was learned so far; None: nothing.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(_Features(backbone), backbone.card)
        self._base = backbone.card
        self.taught: Taught | None = None
        self.learn(None)

    def learn(self, taught: Taught | None) -> None:
        """Answer with a new head from the next frame on; may be called from any thread."""
        labels = taught.labels if taught else (NOTHING,)
        self.taught = taught
        self.card = replace(self._base, labels=labels, temperature=1.0, energy_limit=0.0)

    def predict(self, logits: NDArray[np.float32]) -> Prediction:
        """Turn one frame's features (features,) into an answer; before any, it is unsure."""
        taught = self.taught
        if taught is None:
            return Prediction(None, 0.0, {NOTHING: 0.0}, (), 1.0)
        return taught.predict(logits)
