"""What a model scored: loss, accuracy and confusion; and the table of a run's epochs."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat.training.loader import Batch
from edgecat_runtime.errors import UserError
from edgecat_runtime.system.atomic import atomic_write, write_error


@dataclass(frozen=True)
class Evaluation:
    """A model's answers to labelled pictures, counted.

    Attributes:
        labels: the classes.
        confusion: int64 (classes, classes): rows are what a picture shows, columns what was said.
        loss: mean cross entropy in nats.
        skipped: a sentence for each picture that could not be decoded.
    """

    labels: tuple[str, ...]
    confusion: NDArray[np.int64]
    loss: float
    skipped: tuple[str, ...] = field(default=())

    @property
    def n(self) -> int:
        """Number of pictures."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Share of right answers, 0..1."""
        return float(np.trace(self.confusion) / self.n)

    def to_dict(self) -> dict[str, Any]:
        """What `edgecat evaluate --json` prints, after the model and the backend."""
        return {
            "n": self.n,
            "accuracy": self.accuracy,
            "loss": self.loss,
            "per_class": {
                label: {
                    "n": int(row.sum()),
                    "correct": int(row[i]),
                    "accuracy": float(row[i] / row.sum()) if row.sum() else None,
                }
                for i, (label, row) in enumerate(zip(self.labels, self.confusion, strict=True))
            },
            "confusion": self.confusion.tolist(),
        }


def evaluate(
    infer: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    batches: Iterable[Batch],
    labels: Sequence[str],
    *,
    temperature: float = 1.0,
    on_batch: Callable[[int], None] = lambda pictures: None,
) -> Evaluation:
    """Count a model's answers.

    Args:
        infer: from frames, uint8 (n, height, width, 3), to logits, float32 (n, classes).
        batches: the pictures, prepared as a device does (`served_batches`).
        labels: the classes, in the order of the logits.
        temperature: divides the logits before the loss's softmax.
        on_batch: told how many pictures each batch was given, those skipped included.

    Raises:
        UserError: no picture could be decoded; the message is the first one's.
    """
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    losses = 0.0
    skipped: list[str] = []
    for batch in batches:
        skipped += batch.skipped
        if len(batch.labels):
            logits = infer(batch.frames)
            np.add.at(confusion, (batch.labels, logits.argmax(1)), 1)
            losses += float(cross_entropy(logits / temperature, batch.labels).sum())
        on_batch(len(batch.labels) + len(batch.skipped))
    n = int(confusion.sum())
    if not n:
        first = f": {skipped[0]}" if skipped else ""
        raise UserError(f"none of {len(skipped)} pictures could be decoded{first}")
    return Evaluation(tuple(labels), confusion, losses / n, tuple(skipped))


def cross_entropy(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """The loss of each picture in nats: float64 (n,)."""
    values = logits.astype(np.float64)
    values -= values.max(1, keepdims=True)
    right = np.take_along_axis(values, labels[:, None], 1)[:, 0]
    return np.asarray(np.log(np.exp(values).sum(1)) - right)


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
