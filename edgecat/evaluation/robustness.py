"""Robustness: the same images darkened, blurred, compressed, noisy, rotated and small.

After Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261, with the corruptions of a
home camera. The same image and strength give the same bytes on one version of OpenCV.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat.data.folder import ImageSet, LabelledImage
from edgecat.evaluation.answers import Infer, answers_to
from edgecat.evaluation.curves import wilson
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.preprocess import preprocess
from edgecat_runtime.system.opencv import cv2_module
from edgecat_runtime.types import Image


@dataclass(frozen=True)
class Change:
    """One image corruption.

    Attributes:
        name: display name.
        unit: format of the strengths: `{:g} %`.
        strengths: from mild to severe.
        apply: maps an image (h, w, 3), a strength and the image's index to a corrupted image.
    """

    name: str
    unit: str
    strengths: tuple[float, ...]
    apply: Callable[[Image, float, int], Image]


@dataclass(frozen=True)
class Hardship:
    """A model's accuracy on corrupted images.

    Attributes:
        change: `brightness`, ...
        strength: formatted for display: `25 %`.
        accuracy: fraction of correct predictions, 0..1; `unsure` ones count by their top class.
        interval: its 95 % confidence interval.
        answered: coverage: fraction that is not `unsure`, 0..1.
    """

    change: str
    strength: str
    accuracy: float
    interval: tuple[float, float]
    answered: float


def hardships(
    pictures: ImageSet,
    infer: Infer,
    card: ModelCard,
    *,
    on_batch: Callable[[int], None] = lambda pictures: None,
) -> list[Hardship]:
    """Evaluate a model on the images under every corruption and strength.

    Args:
        pictures: the images to corrupt.
        infer: maps frames to logits.
        card: of the model.
        on_batch: called with the number of images in each batch; there are `len(CASES)` passes.

    Raises:
        UserError: no image could be decoded.
    """
    rows = []
    for change, strength in CASES:

        def harder(
            picture: Image, index: int, *, by: Change = change, how: float = strength
        ) -> Image:
            return preprocess(by.apply(picture, how, index), card.height, card.width, card.fit)

        answers = answers_to(
            pictures,
            infer,
            harder,
            temperature=card.temperature,
            energy_limit=card.energy_limit,
            on_batch=on_batch,
        )
        right, n = int(answers.right.sum()), len(answers.pictures)
        text = change.unit.format(strength)
        rows.append(Hardship(change.name, text, right / n, wilson(right, n), answers.answered))
    return rows


def evenly(pictures: ImageSet, count: int) -> ImageSet:
    """At most `count` images, evenly spaced and balanced over the labels."""
    groups = [[p for p in pictures.pictures if p.label == i] for i in range(len(pictures.labels))]
    wanted = -(-count // max(1, sum(map(bool, groups))))
    chosen: list[LabelledImage] = []
    for group in groups:
        n = min(len(group), wanted)
        chosen += [group[i * len(group) // n] for i in range(n)]
    return replace(pictures, pictures=tuple(chosen))


def _brightness(picture: Image, percent: float, index: int) -> Image:
    return _bytes(picture * np.float32(percent / 100))


def _blur(picture: Image, percent: float, index: int) -> Image:
    """Blur with a Gaussian whose standard deviation is a fraction of the shorter side."""
    sigma = percent / 100 * min(picture.shape[:2])
    return np.asarray(_cv2().GaussianBlur(picture, (0, 0), sigma), np.uint8)


def _jpeg(picture: Image, quality: float, index: int) -> Image:
    cv2 = _cv2()
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def _noise(picture: Image, levels: float, index: int) -> Image:
    grain = np.random.default_rng((7, index)).normal(0, levels, picture.shape)
    return _bytes(picture + grain.astype(np.float32))


def _rotation(picture: Image, degrees: float, index: int) -> Image:
    """Rotate, in a direction that depends on the image's index, with reflected corners."""
    cv2 = _cv2()
    height, width = picture.shape[:2]
    sense = 1 if index % 2 else -1
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), sense * degrees, 1)
    turned = cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(turned, np.uint8)


def _small(picture: Image, percent: float, index: int) -> Image:
    """Shrink the image and put it in the middle of a strongly blurred copy of itself."""
    cv2 = _cv2()
    height, width = picture.shape[:2]
    inner = max(1, round(height * percent / 100)), max(1, round(width * percent / 100))
    canvas = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.15 * min(height, width)), np.uint8)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    shrunk = cv2.resize(picture, inner[::-1], interpolation=cv2.INTER_AREA)
    canvas[top : top + inner[0], left : left + inner[1]] = shrunk
    return canvas


def _bytes(values: NDArray[Any]) -> Image:
    return np.asarray(np.clip(values, 0, 255), np.uint8)


def _cv2() -> Any:
    return cv2_module()


CHANGES = (
    Change("brightness", "{:g} %", (50, 25, 160, 250), _brightness),
    Change("blur", "{:g} % of the side", (0.5, 1, 2, 4), _blur),
    Change("JPEG", "quality {:g}", (50, 20, 10, 5), _jpeg),
    Change("noise", "{:g} levels", (10, 20, 40, 80), _noise),
    Change("rotation", "{:g}°", (10, 20, 45, 90), _rotation),
    Change("small subject", "{:g} % of the side", (75, 50, 35, 25), _small),
)
CASES = tuple((change, strength) for change in CHANGES for strength in change.strengths)
