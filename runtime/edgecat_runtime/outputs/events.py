"""Events: what changed, when, and with what confidence; and the JSON Lines file of events."""

from __future__ import annotations

import errno
import json
import math
import os
from datetime import datetime, timezone
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.outputs.sink import Sink
from edgecat_runtime.system.atomic import write_error

if TYPE_CHECKING:
    from edgecat_runtime.camera.frames import StatusEvent
    from edgecat_runtime.loop.answers import Answer
    from edgecat_runtime.model.prediction import Prediction

EVENT_CLASSES = 5
STANDARD_OUTPUT = "-"


class Events(Sink):
    """A JSON Lines file with one line per label change and per status event.

    An existing file is appended to. Each complete line is passed to the operating system at once,
    so a killed program leaves every line that it wrote.

    Args:
        path: the file; its folder is created. `-` is standard output.

    Raises:
        UserError: it cannot be written.

    Example:
        >>> Pipeline(camera, classifier, [Events("events.jsonl")]).run()  # doctest: +SKIP
    """

    name = "the events file"
    only_changes = True

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        try:
            if str(path) == STANDARD_OUTPUT:
                self._path = Path("the standard output")
                self._file = FileIO(os.dup(1), "wb")
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab+", buffering=0)
            if self._path.stat().st_size and not self._ends_whole():
                self._file.write(b"\n")  # the last run was killed while writing a line
        except OSError as error:
            raise write_error(path, error) from error

    def write(self, answer: Answer, picture: NDArray[np.uint8]) -> None:
        """Append a label change."""
        self._append(event_from_answer(answer))

    def signal(self, signal: StatusEvent) -> None:
        """Append a status event."""
        self._append(event_from_signal(signal))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _append(self, event: dict[str, Any]) -> None:
        line = json_from_event(event) + b"\n"
        try:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise write_error(self._path, error) from error

    def _ends_whole(self) -> bool:
        self._file.seek(-1, 2)
        return self._file.read(1) == b"\n"


def event_from_answer(answer: Answer) -> dict[str, Any]:
    """Return the event for a new label, JSON-ready.

    `raw` and `smoothed` are the most probable classes for this frame alone and in the decision.
    """
    frame, decided = answer.frame, answer.smoothed
    event: dict[str, Any] = {
        "time": iso_time(frame.time),
        "event": "label",
        "source": frame.source,
        "camera": frame.camera,
        "from": answer.before,
        "to": decided.displayed,
        "confidence": rounded(decided.confidence),
        "age": round(answer.age, 4),
        "frame": frame.index,
        "raw": most_probable(answer.raw),
        "smoothed": most_probable(decided),
    }
    event |= {"picture": frame.name} if frame.name else {}
    return event | ({"model": answer.model.to_dict()} if answer.model else {})


def event_from_signal(signal: StatusEvent) -> dict[str, Any]:
    """Return the event for a status event, JSON-ready; its confidence is always 0."""
    event: dict[str, Any] = {
        "time": iso_time(signal.time),
        "event": signal.state,
        "source": signal.source,
        "camera": signal.camera,
        "from": signal.before,
        "to": signal.after,
        "confidence": 0.0,
        "age": round(signal.age, 4),
    }
    event |= {"reason": signal.reason} if signal.reason else {}
    event |= {"model": signal.model.to_dict()} if signal.model else {}
    return event | ({"refused": signal.refusal.to_dict()} if signal.refusal else {})


def json_from_event(event: dict[str, Any]) -> bytes:
    """Return one line of JSON as UTF-8, without the newline."""
    return json.dumps(event, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")


def iso_time(seconds: float) -> str:
    """Return a Unix time as `2026-01-31T12:00:00.000Z`."""
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def most_probable(prediction: Prediction) -> dict[str, float | None]:
    """Return the most probable classes, at most `EVENT_CLASSES`, and their probabilities."""
    ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
    return {label: rounded(value) for label, value in ranked[:EVENT_CLASSES]}


def rounded(value: float) -> float | None:
    """Return a probability to 4 digits; None for NaN, which JSON does not have."""
    return round(value, 4) if math.isfinite(value) else None
