"""Predictions: the JSON Lines file with one line per classified frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.outputs.events import Events, iso_time, most_probable, rounded

if TYPE_CHECKING:
    from edgecat_runtime.camera.frames import StatusEvent
    from edgecat_runtime.loop.answers import Answer


class Predictions(Events):
    """A JSON Lines file with one line per classified frame, whether its label changed or not.

    An existing file is appended to. `label` and `confidence` are the decision, `raw` the most
    probable classes of the frame alone.

    Args:
        path: the file; its folder is created. `-` is standard output.

    Raises:
        UserError: it cannot be written.

    Example:
        >>> Pipeline(camera, classifier, [Predictions("frames.jsonl")]).run()  # doctest: +SKIP
    """

    name = "the predictions file"
    only_changes = False

    def write(self, answer: Answer, picture: NDArray[np.uint8]) -> None:
        """Append a frame's prediction."""
        self._append(prediction_from_answer(answer))

    def signal(self, signal: StatusEvent) -> None:
        """Ignore it: events tell of lost sources."""


def prediction_from_answer(answer: Answer) -> dict[str, Any]:
    """Return the prediction for a frame, JSON-ready."""
    frame, decided = answer.frame, answer.smoothed
    prediction: dict[str, Any] = {
        "time": iso_time(frame.time),
        "source": frame.source,
        "camera": frame.camera,
        "frame": frame.index,
        "label": decided.displayed,
        "confidence": rounded(decided.confidence),
        "raw": most_probable(answer.raw),
    }
    prediction |= {"picture": frame.name} if frame.name else {}
    return prediction | ({"model": answer.model.to_dict()} if answer.model else {})
