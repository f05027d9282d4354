"""What was learned so far: from features to an answer, and how good it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.loop.teach.bursts import bursts_of
from edgecat_runtime.loop.teach.captures import Capture
from edgecat_runtime.loop.teach.familiar import Familiar, fit_familiar
from edgecat_runtime.loop.teach.head import Head, fit_head
from edgecat_runtime.loop.teach.store import NONE
from edgecat_runtime.model.prediction import Prediction
from edgecat_runtime.types import Numbers, Values

_MOST_FOLDS = 10
_LARGEST = 0.67  # of a class's images that one burst may have, to be left out
_MOST = 250  # images of a class that the head is fitted to, so that time and memory are bounded
_NO_CLASS = 1.0
"""Strangeness of an image that looks like those of the class `none`."""


class Figures(NamedTuple):
    """How well the images of a class are told without their own burst.

    Attributes:
        label: the class.
        images: number of its images.
        bursts: in how many bursts; 1 also where most are of one.
        right: fraction that would be told right, 0..1.
        confidence: mean probability of the right class, 0..1.
    """

    label: str
    images: int
    bursts: int
    right: float
    confidence: float


@dataclass(frozen=True)
class Taught:
    """A head for the classes that have images, and its figures.

    Attributes:
        labels: in the order of the head's scores; `none` is one of them if it has images.
        head: on a backbone's features.
        familiar: tells images of none of the classes.
        figures: one per label.
    """

    labels: tuple[str, ...]
    head: Head
    familiar: Familiar
    figures: tuple[Figures, ...]

    def predict(self, features: Values) -> Prediction:
        """Answer for the features (features,) of one image.

        The prediction's energy is above 0 where the image shows none of the classes; its label is
        then None, as that of `unsure` is.
        """
        scores = self.head.scores(features[None])[0]
        shares = _softmax(scores[None])[0]
        energy = float(self.familiar.strangeness(features[None])[0])
        best = self.labels[int(scores.argmax())]
        if best == NONE:
            energy = max(energy, _NO_CLASS)
        probabilities = dict(zip(self.labels, map(float, shares), strict=True))
        label = None if energy > 0 else best
        confidence = 0.0 if label is None else probabilities[label]
        return Prediction(label, confidence, probabilities, tuple(map(float, scores)), energy)


def learn(captures: list[Capture], features: Values) -> Taught | None:
    """Fit a head to images and judge it by leaving out.

    A part of each class is left out at a time, whole bursts; where a class has one burst, or little
    else, its images are left out one by one, which flatters: they are nearly the same. Of a class
    of more than 250 images, the newest and some of the older ones are taken.

    Args:
        captures: at least one, in the order of time.
        features: float32 (n, features), in their order.

    Returns:
        None if no class but `none` has an image.
    """
    named = list(dict.fromkeys(one.label for one in captures))
    labels = tuple(sorted(named, key=lambda name: name == NONE))  # it is last
    if not named or labels[0] == NONE:
        return None
    numbers = np.array([labels.index(one.label) for one in captures])
    units, bursts = _units(captures, numbers, len(labels))
    folds, groups = _folds(units, numbers), units + len(captures) * numbers
    images = np.bincount(numbers)
    taken = np.concatenate([_taken(np.flatnonzero(numbers == each)) for each in range(len(labels))])
    features, numbers, groups = features[taken], numbers[taken], groups[taken]
    head, left_out = fit_head(features, numbers, folds[taken])
    shown = numbers != (len(labels) - 1 if labels[-1] == NONE else -1)
    familiar = fit_familiar(features[shown], groups[shown], features[~shown])
    told = zip(labels, images.tolist(), bursts, *_told(numbers, left_out), strict=True)
    return Taught(labels, head, familiar, tuple(Figures(*each) for each in told))


def _taken(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows of a class to fit to: the newest, and as many of the others, evenly spread."""
    older = len(rows) - _MOST // 2
    if len(rows) <= _MOST:
        return rows
    spread = np.linspace(0, older - 1, _MOST - _MOST // 2).astype(np.int64)
    return np.concatenate([rows[spread], rows[older:]])


def _units(
    captures: list[Capture], numbers: NDArray[np.int64], classes: int
) -> tuple[NDArray[np.int64], list[int]]:
    """What each image of a class is left out with, and the number of bursts of each class.

    A class whose images are mostly of one burst counts as one: without it, too little would be
    left to learn from.
    """
    times = np.array([one.time for one in captures])
    units, counts = np.zeros(len(captures), np.int64), []
    for index in range(classes):
        own = np.flatnonzero(numbers == index)
        bursts = bursts_of(times[own].tolist())
        largest = int(np.bincount(bursts).max())
        counts.append(max(bursts) + 1 if largest <= _LARGEST * len(own) else 1)
        units[own] = bursts if counts[-1] > 1 else range(len(own))
    return units, counts


def _folds(units: NDArray[np.int64], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Share the units of every class out to the same few folds."""
    sizes = [int(units[numbers == index].max()) + 1 for index in range(int(numbers.max()) + 1)]
    count = min((size for size in sizes if size > 1), default=1)
    return np.asarray(units % min(count, _MOST_FOLDS))


def _told(numbers: NDArray[np.int64], left_out: Numbers) -> tuple[list[float], list[float]]:
    """The fraction told right, and the mean probability of the right class, of each class."""
    counts = np.bincount(numbers)
    right = np.bincount(numbers, left_out.argmax(1) == numbers) / counts
    own = _softmax(left_out)[np.arange(len(numbers)), numbers]
    return right.tolist(), (np.bincount(numbers, own) / counts).tolist()


def _softmax(scores: Numbers) -> Numbers:
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))
