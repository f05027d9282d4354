"""Output `csv:FILE`: one row per change of label, for a spreadsheet."""

from __future__ import annotations

import csv
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime import Answer, Sink, UserError

HEADER = ("time", "source", "frame", "image", "label", "confidence")


class Csv(Sink):
    """Appends to a CSV file; each row is on disk as soon as it is written."""

    name = "the CSV file"
    only_changes = True

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("a", newline="", encoding="utf-8", buffering=1)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}") from error
        self._rows = csv.writer(self._file)
        if not self._file.tell():
            self._rows.writerow(HEADER)

    def write(self, answer: Answer, picture: NDArray[np.uint8]) -> None:
        """Append one row."""
        frame, decided = answer.frame, answer.smoothed
        time = datetime.fromtimestamp(frame.time, timezone.utc).isoformat(timespec="milliseconds")
        row = (time, frame.source, frame.index, frame.name, decided.displayed)
        self._rows.writerow((*row, f"{decided.confidence:.4f}"))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def open_csv(argument: str) -> Csv:
    """Open `csv:FILE`."""
    if not argument:
        raise UserError("output csv has no argument; expected csv:FILE")
    return Csv(Path(argument))
