"""The measurements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from edgecat.models.vgg import VGG
from edgecat.study.frame import Advance
from edgecat.study.learning import History, Recipe, followed, judged, seeded
from edgecat.study.material import ImageStudy, LabelledImages, Material

PLAIN, DROPOUT, HIDING, BOTH = "neither", "dropout", "hidden squares", "both"
VARIANTS = {PLAIN: (False, False), DROPOUT: (True, False), HIDING: (False, True),
             BOTH: (True, True)}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Measurements(ImageStudy):
    """A network with VGG-like dense layers that overfits a small training set.

    Attributes:
        size: height and width of the images in pixels.
        widths: channels of the three convolutions.
        dense: units of each of the two dense layers.
        rate: dropout rate, 0..1.
        pictures: number of training images: few.
        validation: number of validation images.
        epochs: number of epochs.
        batch: batch size.
        learning_rate: Adam's learning rate.
        hidden: fractions of the image area that the grey square covers in the evaluation.
        most: the largest fraction erased in training.
    """

    size: int = 32
    widths: tuple[int, ...] = (16, 32, 64)
    dense: int = 128
    rate: float = 0.5
    pictures: int = 256
    validation: int = 512
    epochs: int = 40
    batch: int = 32
    learning_rate: float = 1e-3
    hidden: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4)
    most: float = 0.4

    @property
    def steps(self) -> int:
        """Number of images to draw and epochs to train."""
        return self.pictures + self.validation + len(VARIANTS) * self.seeds * self.epochs

    def measure(self, advance: Advance) -> tuple[Material, list[History], list[Sight]]:
        """Train with and without, and evaluate on partly hidden images."""
        found = self.found(advance)
        tests = [covered(found.validation, share) for share in self.hidden]
        runs, sights = [], []
        for key in VARIANTS:
            for seed in self.each_seed:
                model, history = self._run(found, key, seed, advance)
                runs.append(history)
                right = tuple(judged(model, test)[1] for test in tests)
                sights.append(Sight(key, seed, right))
        return found, runs, sights

    def _run(
        self, found: Material, key: str, seed: int, advance: Advance
    ) -> tuple[nn.Module, History]:
        drops, hides = VARIANTS[key]
        layers = (*(part for width in self.widths for part in (width, "M")), self.dense, self.dense)
        with seeded(seed) as random:
            model = VGG(
                layers,
                len(found.labels),
                height=self.size,
                width=self.size,
                head="dense",
                dropout=self.rate if drops else 0.0,
            )
            history = followed(
                model,
                found,
                Recipe("adam", self.learning_rate, self.batch, self.epochs),
                key=key,
                seed=seed,
                random=random,
                advance=advance,
                change=lambda batch: hidden(batch, self.most, random) if hides else batch,
            )
        return model, history


@dataclass(frozen=True)
class Sight:
    """The accuracy when a part of each image is hidden.

    Attributes:
        key: the training variant.
        seed: seed of weights and order.
        right: accuracy per hidden fraction.
    """

    key: str
    seed: int
    right: tuple[float, ...]


def covered(pictures: LabelledImages, share: float) -> LabelledImages:
    """Put a grey square at a random position in every image, the same in every run.

    Args:
        pictures: the images; not modified.
        share: fraction of the area that the square covers, 0..1.
    """
    return _over(pictures, [share] * len(pictures), torch.Generator().manual_seed(1))


def hidden(pictures: LabelledImages, most: float, random: torch.Generator) -> LabelledImages:
    """Put a grey square of 0 to `most` of the area in every image."""
    shares = most * torch.rand(len(pictures), generator=random)
    return _over(pictures, shares.tolist(), random)


def _over(
    pictures: LabelledImages, shares: Sequence[float], random: torch.Generator
) -> LabelledImages:
    images = pictures.images.clone()
    size = images.shape[-1]
    for image, share in zip(images, shares, strict=True):
        side = round(math.sqrt(share) * size)
        top, left = torch.randint(0, size - side + 1, (2,), generator=random).tolist()
        image[:, top : top + side, left : left + side] = 0  # mid-grey
    return LabelledImages(images, pictures.labels)
