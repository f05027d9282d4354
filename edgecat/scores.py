"""Scores: probabilities, energy, loss, accuracy and confusion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat.data.batches import Batch
from edgecat_runtime.errors import UserError
from edgecat_runtime.system.counting import number_of
from edgecat_runtime.types import Numbers


@dataclass(frozen=True)
class Evaluation:
    """A model's predictions on labelled images, summarised.

    Attributes:
        labels: the classes.
        confusion: int64 (classes, classes): rows are actual classes, columns predicted ones.
        loss: mean cross entropy in nats.
        skipped: a message for each image that could not be decoded.
    """

    labels: tuple[str, ...]
    confusion: NDArray[np.int64]
    loss: float
    skipped: tuple[str, ...] = field(default=())

    @property
    def n(self) -> int:
        """Number of images."""
        return int(self.confusion.sum())

    @property
    def right(self) -> int:
        """Number of correct predictions."""
        return int(np.trace(self.confusion))

    @property
    def accuracy(self) -> float:
        """Fraction of correct predictions, 0..1."""
        return self.right / self.n

    def to_dict(self) -> dict[str, Any]:
        """The output of `edgecat evaluate --json`, after the model and the backend."""
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
    """Evaluate a model on labelled images.

    Args:
        infer: maps frames, uint8 (n, height, width, 3), to logits, float32 (n, classes).
        batches: the images, preprocessed as on a device (`served_batches`).
        labels: the classes, in the order of the logits.
        temperature: divides the logits before the softmax of the loss.
        on_batch: called with the number of images in each batch, including skipped ones.

    Raises:
        UserError: no image could be decoded; the message is that of the first.
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
        raise UserError(f"none of {number_of(len(skipped), 'image')} could be decoded{first}")
    return Evaluation(tuple(labels), confusion, losses / n, tuple(skipped))


def cross_entropy(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """The loss of each image in nats: float64 (n,)."""
    values = logits.astype(np.float64)
    values -= values.max(1, keepdims=True)
    right = np.take_along_axis(values, labels[:, None], 1)[:, 0]
    return np.asarray(np.log(np.exp(values).sum(1)) - right)


def softmax(logits: NDArray[np.float32], temperature: float = 1.0) -> Numbers:
    """Probabilities (n, classes) of logits (n, classes)."""
    scaled = logits.astype(np.float64) / temperature
    exponents = np.exp(scaled - scaled.max(1, keepdims=True))
    return np.asarray(exponents / exponents.sum(1, keepdims=True))


def energies(logits: NDArray[np.float32], temperature: float = 1.0) -> Numbers:
    """-T log(sum(exp(logits / T))), (n,), computed as the runtime does for one frame.

    Source: Liu et al. 2020, https://arxiv.org/abs/2010.03759, equation 4.
    """
    scaled = logits.astype(np.float64) / temperature
    top = scaled.max(1)
    return np.asarray(-temperature * (top + np.log(np.exp(scaled - top[:, None]).sum(1))))
