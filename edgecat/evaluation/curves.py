"""Intervals and curves: Wilson interval, ROC with AUC, calibration curve with ECE."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.types import Numbers

_Z95 = 1.959963984540054
BINS = 15


def wilson(right: int, n: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a proportion, 0..1 (Wilson 1927, score interval).

    Args:
        right: number of successes.
        n: number of trials; 0 gives the interval 0..1.
    """
    if not n:
        return 0.0, 1.0
    share, square = right / n, _Z95**2
    middle = (share + square / (2 * n)) / (1 + square / n)
    reach = _Z95 * math.sqrt(share * (1 - share) / n + square / (4 * n * n)) / (1 + square / n)
    return max(0.0, middle - reach), min(1.0, middle + reach)


@dataclass(frozen=True)
class Roc:
    """One class against the rest, over every threshold of its score.

    Attributes:
        false: false positive rates, rising from 0 to 1.
        true: true positive rates at the same thresholds.
        auc: area under the curve, 0..1: the probability that an image of the class scores higher
            than an image of another class.
    """

    false: Numbers
    true: Numbers
    auc: float


def roc(scores: Numbers, positive: NDArray[np.bool_]) -> Roc | None:
    """Compute the ROC curve; None if there are no images of the class, or none of the others.

    Args:
        scores: (n,), higher for the class; ties share one point.
        positive: (n,), which images have the class.
    """
    n, total = len(positive), int(positive.sum())
    if total in (0, n):
        return None
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), n - 1)
    hits = np.cumsum(positive[order])[ends]
    true = np.concatenate([[0.0], hits / total])
    false = np.concatenate([[0.0], (ends + 1 - hits) / (n - total)])
    area = float(((true[1:] + true[:-1]) / 2 * np.diff(false)).sum())
    return Roc(false, true, area)


@dataclass(frozen=True)
class Reliability:
    """Accuracy as a function of confidence (Guo et al. 2017, section 2).

    Attributes:
        confidence: mean confidence in each non-empty bin, 0..1.
        accuracy: fraction of correct predictions in the bin.
        counts: number of images in the bin.
        ece: expected calibration error, 0..1: the mean difference of the two, weighted by images.
    """

    confidence: Numbers
    accuracy: Numbers
    counts: NDArray[np.int64]
    ece: float


def reliability(confidence: Numbers, right: NDArray[np.bool_], bins: int = BINS) -> Reliability:
    """Compare confidences (n,) in 0..1 with correctness, in bins of equal width.

    Source: https://arxiv.org/abs/1706.04599, equations 2, 3 and 5.
    """
    places = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    held = counts > 0
    means = np.bincount(places, confidence, bins)[held] / counts[held]
    shares = np.bincount(places, right.astype(np.float64), bins)[held] / counts[held]
    ece = float((np.abs(means - shares) * counts[held]).sum() / max(len(right), 1))
    return Reliability(means, shares, counts[held], ece)
