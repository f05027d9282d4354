"""The events file: one JSON line for every change of the decision."""

from __future__ import annotations

import errno
import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.atomic import write_error
from edgecat_runtime.sinks import Sink

if TYPE_CHECKING:
    from edgecat_runtime.classifier import Prediction
    from edgecat_runtime.pipeline import Answer

EVENT_CLASSES = 5


class Events(Sink):
    """A file of JSON lines: one for the first answer and one for every change of label.

    A file that exists is added to. Each line is flushed as it is written.

    Args:
        path: of the file; its folder is made.

    Raises:
        UserError: it cannot be written.
    """

    name = "the events file"
    only_changes = True

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab+", buffering=0)
            if self._path.stat().st_size and not self._ends_whole():
                self._file.write(b"\n")  # the last run was killed within a line
        except OSError as error:
            raise write_error(path, error) from error

    def write(self, answer: Answer, picture: NDArray[np.uint8]) -> None:
        """Append one line."""
        line = json.dumps(event_from_answer(answer), ensure_ascii=False).encode() + b"\n"
        try:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise write_error(self._path, error) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _ends_whole(self) -> bool:
        self._file.seek(-1, 2)
        return self._file.read(1) == b"\n"


def event_from_answer(answer: Answer) -> dict[str, Any]:
    """Return what an event says: JSON-ready, with the most probable classes before and after."""
    moment = datetime.fromtimestamp(answer.frame.time, timezone.utc)
    event: dict[str, Any] = {
        "frame": answer.frame.index,
        "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "label": answer.smoothed.label,
        "confidence": round(answer.smoothed.confidence, 4),
        "raw": _most_probable(answer.raw),
        "smoothed": _most_probable(answer.smoothed),
    }
    if answer.frame.source:
        event["source"] = answer.frame.source
    if answer.frame.name:
        event["picture"] = answer.frame.name
    return event


def _most_probable(prediction: Prediction) -> dict[str, float]:
    ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
    return {label: round(value, 4) for label, value in ranked[:EVENT_CLASSES]}
