"""A model's predictions on labelled images, one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat.data.batches import Batch, Prepare, load_batch, prefetched
from edgecat.data.folder import ImageSet, LabelledImage
from edgecat.evaluation.curves import Roc, reliability, roc, wilson
from edgecat.scores import Evaluation, cross_entropy, energies, softmax
from edgecat_runtime.errors import UserError
from edgecat_runtime.system.counting import number_of
from edgecat_runtime.system.machine import cores
from edgecat_runtime.types import Frames

Infer = Callable[[Frames], NDArray[np.float32]]

BATCH = 16
"""Images per batch."""


@dataclass(frozen=True)
class Answers:
    """A model's predictions for each image.

    Attributes:
        labels: the classes, in the order of the logits.
        pictures: the images that could be decoded.
        logits: float32 (n, classes).
        temperature: of the softmax and the energy.
        energy_limit: images above it are `unsure`; None: no image is.
        skipped: a message for each image that could not be decoded.
    """

    labels: tuple[str, ...]
    pictures: tuple[LabelledImage, ...]
    logits: NDArray[np.float32]
    temperature: float = 1.0
    energy_limit: float | None = None
    skipped: tuple[str, ...] = ()

    @property
    def truth(self) -> NDArray[np.int64]:
        """The label of each image, (n,)."""
        return np.array([picture.label for picture in self.pictures], np.int64)

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether the most probable class is the label of each image, (n,)."""
        return np.asarray(self.logits.argmax(1) == self.truth)

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Probabilities at the temperature, (n, classes)."""
        return softmax(self.logits, self.temperature)

    @property
    def answered(self) -> float:
        """Coverage: the fraction of images that are not `unsure`, 0..1."""
        if self.energy_limit is None:
            return 1.0
        return float((energies(self.logits, self.temperature) <= self.energy_limit).mean())

    @property
    def evaluation(self) -> Evaluation:
        """The summary of the predictions."""
        classes = len(self.labels)
        confusion = np.zeros((classes, classes), np.int64)
        np.add.at(confusion, (self.truth, self.logits.argmax(1)), 1)
        loss = cross_entropy(self.logits / np.float32(self.temperature), self.truth).mean()
        return Evaluation(self.labels, confusion, float(loss), self.skipped)

    @property
    def interval(self) -> tuple[float, float]:
        """The accuracy's 95 % confidence interval."""
        return wilson(int(self.right.sum()), len(self.pictures))

    def rocs(self) -> dict[str, Roc]:
        """Each class against the rest; of two classes only the second, the first mirrors it."""
        scores = self.probabilities if len(self.labels) > 2 else self.margins()
        first = 1 if len(self.labels) == 2 else 0
        curves = {
            label: roc(scores[:, i], self.truth == i)
            for i, label in enumerate(self.labels)
            if i >= first
        }
        return {label: curve for label, curve in curves.items() if curve is not None}

    def margins(self) -> NDArray[np.float64]:
        """Each logit minus the largest other one: ranks as the probability, never saturates."""
        best = np.sort(self.logits.astype(np.float64), 1)
        rival = np.where(self.logits == best[:, -1:], best[:, -2:-1], best[:, -1:])
        return np.asarray(self.logits - rival)

    def ece(self, temperature: float | None = None) -> float:
        """Expected calibration error, 0..1; by default at the model's own temperature."""
        shares = softmax(self.logits, temperature or self.temperature)
        return reliability(shares.max(1), self.right).ece

    def to_dict(self) -> dict[str, Any]:
        """The output of `edgecat evaluate --json`, after the model and the backend."""
        counted = self.evaluation.to_dict()
        for row in counted["per_class"].values():
            row["interval"] = wilson(row["correct"], row["n"])
        return {
            "n": counted["n"],
            "accuracy": counted["accuracy"],
            "interval": self.interval,
            "loss": counted["loss"],
            "auc": {label: curve.auc for label, curve in self.rocs().items()},
            "ece": self.ece(),
            "ece_uncalibrated": self.ece(1.0),
            "temperature": self.temperature,
            "answered": self.answered,
            "per_class": counted["per_class"],
            "confusion": counted["confusion"],
        }


def answers_to(
    pictures: ImageSet,
    infer: Infer,
    prepare: Prepare,
    *,
    temperature: float = 1.0,
    energy_limit: float | None = None,
    on_batch: Callable[[int], None] = lambda pictures: None,
) -> Answers:
    """Run a model on every image.

    Args:
        pictures: labelled images.
        infer: maps frames, uint8 (n, height, width, 3), to logits, float32 (n, classes).
        prepare: makes a frame from a decoded image and its index: `preprocess` with the model's
            input size and fit, after any corruption of the image.
        temperature: as in the model's card.
        energy_limit: likewise.
        on_batch: called with the number of images in each batch, including skipped ones.

    Raises:
        UserError: no image could be decoded; the message is that of the first.
    """
    shown: list[LabelledImage] = []
    logits: list[NDArray[np.float32]] = []
    skipped: list[str] = []

    def load(start: int) -> tuple[Batch, list[int]]:
        seen: list[int] = []

        def view(picture: Frames, index: int) -> Frames:
            frame = prepare(picture, index)
            seen.append(index)
            return frame

        indices = range(start, min(start + BATCH, len(pictures)))
        return load_batch(pictures.pictures, indices, view), seen

    starts = range(0, len(pictures), BATCH)
    for batch, seen in prefetched(load, starts, workers=cores()):
        skipped += batch.skipped
        shown += [pictures.pictures[index] for index in seen]
        if seen:
            logits.append(infer(batch.frames))
        on_batch(len(seen) + len(batch.skipped))
    if not logits:
        first = f": {skipped[0]}" if skipped else ""
        raise UserError(f"none of {number_of(len(skipped), 'image')} could be decoded{first}")
    return Answers(
        pictures.labels,
        tuple(shown),
        np.concatenate(logits),
        temperature,
        energy_limit,
        tuple(skipped),
    )
