"""What is measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from edgecat.models.vgg import VGG
from edgecat.study.frame import Advance
from edgecat.study.learning import History, Recipe, followed, judged, seeded
from edgecat.study.pictures import Material, Pictures, PictureStudy

PLAIN, DROPOUT, HIDING, BOTH = "neither", "dropout", "hidden squares", "both"
VARIANTS = {PLAIN: (False, False), DROPOUT: (True, False), HIDING: (False, True),
             BOTH: (True, True)}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Measurements(PictureStudy):
    """A network with dense layers, as VGG has them, that learns few pictures by heart.

    Attributes:
        size: height and width of the pictures in pixels.
        widths: channels of its three convolutions.
        dense: neurons of each of its two dense layers.
        rate: of the dropout, 0..1.
        pictures: to learn from: few.
        validation: to judge by.
        epochs: passes over the pictures.
        batch: pictures a step.
        learning_rate: of Adam.
        hidden: shares of the picture's area that the grey square covers when judged.
        most: the largest such share while learning with hidden squares.
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
        """Pictures to draw and passes to make."""
        return self.pictures + self.validation + len(VARIANTS) * self.seeds * self.epochs

    def measure(self, advance: Advance) -> tuple[Material, list[History], list[Sight]]:
        """Learn with and without, and judge pictures of which a part is hidden."""
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
    """How many answers are right when a part of each picture is hidden.

    Attributes:
        key: how the network learnt.
        seed: of weights and order.
        right: share of right answers for each share that is hidden.
    """

    key: str
    seed: int
    right: tuple[float, ...]


def covered(pictures: Pictures, share: float) -> Pictures:
    """Put a grey square somewhere over every picture: the same places in every run.

    Args:
        pictures: left as they are.
        share: of the area that the square covers, 0..1.
    """
    return _over(pictures, [share] * len(pictures), torch.Generator().manual_seed(1))


def hidden(pictures: Pictures, most: float, random: torch.Generator) -> Pictures:
    """Put a grey square of 0 to `most` of the area over every picture."""
    shares = most * torch.rand(len(pictures), generator=random)
    return _over(pictures, shares.tolist(), random)


def _over(pictures: Pictures, shares: Sequence[float], random: torch.Generator) -> Pictures:
    images = pictures.images.clone()
    size = images.shape[-1]
    for image, share in zip(images, shares, strict=True):
        side = round(math.sqrt(share) * size)
        top, left = torch.randint(0, size - side + 1, (2,), generator=random).tolist()
        image[:, top : top + side, left : left + side] = 0  # mid-grey
    return Pictures(images, pictures.labels)
