"""What a model scored: loss, accuracy and confusion; and the table of a run's epochs."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from edgecat_runtime.system.atomic import atomic_write, write_error


@dataclass(frozen=True)
class Epoch:
    """One row of `metrics.csv`.

    Attributes:
        epoch: from 1.
        lr: learning rate of its last step.
        train_loss: mean over its augmented pictures, label smoothing included.
        train_accuracy: likewise, 0..1.
        val_loss: mean cross entropy of the validation pictures.
        val_accuracy: 0..1.
        seconds: of training and validation.
        images_per_second: while training.
        data_wait: share of that time in which the loop waited for pictures, 0..1; an upper bound of
            a GPU's, which may have work left meanwhile.
    """

    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    seconds: float
    images_per_second: float
    data_wait: float = 0.0

    def beats(self, other: Epoch | None) -> bool:
        """Whether it validated better: by accuracy, then by loss."""
        if other is None:
            return True
        return (self.val_accuracy, -self.val_loss) > (other.val_accuracy, -other.val_loss)


def write_metrics(path: Path, history: Sequence[Epoch]) -> None:
    """Write the whole table; raises UserError where it cannot."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [f.name for f in fields(Epoch)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(_row, history))
    atomic_write(path, text.getvalue())


def append_metrics(path: Path, epoch: Epoch) -> None:
    """Add one row to the table; raises UserError where it cannot."""
    try:
        with path.open("a", newline="") as file:
            csv.DictWriter(file, list(asdict(epoch)), lineterminator="\n").writerow(_row(epoch))
    except OSError as error:
        raise write_error(path, error) from error


def _row(epoch: Epoch) -> dict[str, Any]:
    values = asdict(epoch)
    return {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in values.items()}
