"""A run's epochs: loss, accuracy and speed, and their table."""

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
        train_loss: mean over the augmented training images, label smoothing included.
        train_accuracy: likewise, 0..1.
        val_loss: mean cross entropy over the validation images.
        val_accuracy: 0..1.
        seconds: of training and validation.
        images_per_second: while training.
        data_wait: fraction of that time in which the loop waited for images, 0..1; an upper bound
            for a GPU, which may still be working meanwhile.
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
    """Write the whole table; raises UserError if it cannot be written."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [f.name for f in fields(Epoch)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(_row, history))
    atomic_write(path, text.getvalue())


def append_metrics(path: Path, epoch: Epoch) -> None:
    """Add one row to the table; raises UserError if it cannot be written."""
    try:
        with path.open("a", newline="") as file:
            csv.DictWriter(file, list(asdict(epoch)), lineterminator="\n").writerow(_row(epoch))
    except OSError as error:
        raise write_error(path, error) from error


def _row(epoch: Epoch) -> dict[str, Any]:
    values = asdict(epoch)
    return {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in values.items()}
