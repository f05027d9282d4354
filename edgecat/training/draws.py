"""Draws the views of a batch: the same for each (seed, epoch, image), whatever is drawn beside it.

Runs keep the rules that they were started with (`TrainConfig.version`). By version 1 each image has
a generator of its own. By version 2 the random numbers of a whole batch come from one call of a
counter-based generator, which hashes (seed, epoch, image, number).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgecat.training.augment import Augmentation, View, Views
from edgecat_runtime.model.card import Fit

Floats = NDArray[np.float64]

_LUMA = np.array([0.114, 0.587, 0.299])  # of blue, green, red: ITU-R BT.601
_MULTIPLIERS = np.array([0xD2511F53, 0xCD9E8D57], np.uint64)
_WEYL = np.array([0x9E3779B9, 0xBB67AE85], np.uint64)
_LOW, _32 = np.uint64(0xFFFFFFFF), np.uint64(32)


class Draws(Protocol):
    """The views of some images, before their sizes are known."""

    def view(self, index: int, height: int, width: int) -> View:
        """The view of image `index` of the batch, which is `height` by `width` pixels."""

    def views(self, heights: NDArray[np.int64], widths: NDArray[np.int64]) -> Views:
        """The views of all images of the batch."""


def draw(
    augmentation: Augmentation,
    seed: int,
    epoch: int,
    numbers: Sequence[int],
    *,
    version: int,
    fit: Fit = "crop",
) -> Draws:
    """Draw the views of a batch.

    Args:
        augmentation: how far images are changed.
        seed: of the run, 0 to 2**32 - 1.
        epoch: from 0.
        numbers: of the images in their set.
        version: of the rules, 1 or 2.
        fit: how an image is fitted to the frame when served; version 1 ignores it.
    """
    if version == 1:
        return GeneratorDraws(augmentation, seed, epoch, tuple(numbers))
    draws = CounterDraws(augmentation, uniforms(seed, epoch, np.asarray(numbers, np.uint64)))
    return draws if fit == "crop" else FittedDraws(draws, fit)


@dataclass(frozen=True)
class GeneratorDraws:
    """Version 1: a generator per image, seeded with (seed, epoch, image)."""

    augmentation: Augmentation
    seed: int
    epoch: int
    numbers: tuple[int, ...]

    def view(self, index: int, height: int, width: int) -> View:
        """See `Draws`."""
        random = np.random.default_rng((self.seed, self.epoch, self.numbers[index]))
        return draw_view(height, width, self.augmentation, random)

    def views(self, heights: NDArray[np.int64], widths: NDArray[np.int64]) -> Views:
        """See `Draws`."""
        sizes = enumerate(zip(heights.tolist(), widths.tolist(), strict=True))
        return Views.of([self.view(index, *size) for index, size in sizes])


@dataclass(frozen=True)
class CounterDraws:
    """Version 2: all images at once.

    Attributes:
        augmentation: how far images are changed.
        random: float64 (8, n) in 0..1: area, aspect, top, left, flip, brightness, contrast and
            saturation of each image.
    """

    augmentation: Augmentation
    random: Floats

    def view(self, index: int, height: int, width: int) -> View:
        """See `Draws`."""
        one = slice(index, index + 1)
        ((top, left, rows, columns),) = self._crops(
            one, np.array([height]), np.array([width])
        ).tolist()
        return View(
            top, left, rows, columns, flip=bool(self._flips[index]), colour=self._colours[index]
        )

    def views(self, heights: NDArray[np.int64], widths: NDArray[np.int64]) -> Views:
        """See `Draws`."""
        return Views(self._crops(slice(None), heights, widths), self._flips, self._colours)

    def _crops(
        self, which: slice, heights: NDArray[np.int64], widths: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        fractions, aspects = self._shapes
        tops, lefts = self.random[2:4, which]
        areas = heights * widths * fractions[which]
        sides = np.rint(np.sqrt(np.stack([areas / aspects[which], areas * aspects[which]])))
        whole = np.stack([heights, widths])
        sides = np.minimum(whole, np.maximum(sides, 1)).astype(np.int64)
        places = (np.stack([tops, lefts]) * (whole - sides + 1)).astype(np.int64)
        return np.concatenate([places, sides]).T.copy()

    @cached_property
    def _shapes(self) -> Floats:
        """Fraction of the area and aspect of each crop: (2, n)."""
        low, high = self.augmentation.area
        aspects = [math.exp(x * math.log(self.augmentation.aspect)) for x in 2 * self.random[1] - 1]
        return np.stack([low + (high - low) * self.random[0], np.array(aspects, np.float64)])

    @cached_property
    def _flips(self) -> NDArray[np.bool_]:
        flips: NDArray[np.bool_] = self.random[4] < self.augmentation.flip
        return flips

    @cached_property
    def _colours(self) -> NDArray[np.float32]:
        strengths = self.augmentation
        far = np.array([[strengths.brightness], [strengths.contrast], [strengths.saturation]])
        return colour_maps(*(1 + far * (2 * self.random[5:8] - 1)))


@dataclass(frozen=True)
class FittedDraws:
    """Views of the square that an image is fitted to when served, in the image's own pixels.

    With `letterbox`, a view may extend beyond the image, into the padding; with `stretch`, the
    crop of a square is a crop of the image with its aspect.
    """

    draws: Draws
    fit: Fit

    def view(self, index: int, height: int, width: int) -> View:
        """See `Draws`."""
        side = max(height, width)
        view = self.draws.view(index, side, side)
        crop = np.array([(view.top, view.left, view.height, view.width)])
        ((top, left, rows, columns),) = self._placed(
            crop, np.array([height]), np.array([width])
        ).tolist()
        return replace(view, top=top, left=left, height=rows, width=columns)

    def views(self, heights: NDArray[np.int64], widths: NDArray[np.int64]) -> Views:
        """See `Draws`."""
        sides = np.maximum(heights, widths)
        views = self.draws.views(sides, sides)
        return replace(views, crops=self._placed(views.crops, heights, widths))

    def _placed(
        self, crops: NDArray[np.int64], heights: NDArray[np.int64], widths: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Move crops of squares to the images, whose larger sides are those of the squares."""
        sizes = np.stack([heights, widths], 1)
        sides = sizes.max(1, keepdims=True)
        starts, lengths = crops[:, :2], crops[:, 2:]
        if self.fit == "letterbox":
            return np.concatenate([starts - (sides - sizes) // 2, lengths], 1)
        lengths = np.maximum(lengths * sizes // sides, 1)
        return np.concatenate([starts * sizes // sides, lengths], 1)


def draw_view(
    height: int, width: int, augmentation: Augmentation, random: np.random.Generator
) -> View:
    """Draw the view of an image of `height` by `width` pixels from a generator (version 1)."""
    crop = random_crop(height, width, augmentation, random)
    flip = random.random() < augmentation.flip
    return View(*crop, flip=flip, colour=colour_matrix(augmentation, random))


def random_crop(
    height: int, width: int, augmentation: Augmentation, random: np.random.Generator
) -> tuple[int, int, int, int]:
    """Draw a crop of random area, aspect and place: top, left, height and width in pixels.

    Source: Szegedy et al., 2014 (https://arxiv.org/abs/1409.4842), section 6; crops that would
    exceed the image are cut to it.
    """
    area = height * width * random.uniform(*augmentation.area)
    aspect = math.exp(random.uniform(-1, 1) * math.log(augmentation.aspect))
    crop_height = min(height, max(1, round(math.sqrt(area / aspect))))
    crop_width = min(width, max(1, round(math.sqrt(area * aspect))))
    top = int(random.integers(height - crop_height + 1))
    left = int(random.integers(width - crop_width + 1))
    return top, left, crop_height, crop_width


def colour_matrix(augmentation: Augmentation, random: np.random.Generator) -> NDArray[np.float32]:
    """Draw brightness, contrast and saturation as one affine map: float32 (3, 4) on BGR values."""
    strengths = (augmentation.brightness, augmentation.contrast, augmentation.saturation)
    factors = [np.array([1 + strength * random.uniform(-1, 1)]) for strength in strengths]
    matrix: NDArray[np.float32] = colour_maps(*factors)[0]
    return matrix


def colour_maps(brightness: Floats, contrast: Floats, saturation: Floats) -> NDArray[np.float32]:
    """Combine factors (n,) into affine maps of BGR values: float32 (n, 3, 4)."""
    brightness, contrast, saturation = (
        factor[:, None, None] for factor in (brightness, contrast, saturation)
    )
    mix = saturation * np.eye(3) + (1 - saturation) * np.tile(_LUMA, (3, 1))
    offset = np.broadcast_to(127.5 * (1 - contrast), (len(contrast), 3, 1))
    return np.concatenate([brightness * contrast * mix, offset], 2).astype(np.float32)


def uniforms(seed: int, epoch: int, numbers: NDArray[np.uint64], count: int = 8) -> Floats:
    """Random numbers that depend on (seed, epoch, number) alone: float64 (count, n) in 0..1.

    Args:
        seed: 0 to 2**32 - 1.
        epoch: 0 to 2**32 - 1.
        numbers: of the images, (n,).
        count: random numbers per image; a multiple of 4.
    """
    blocks = []
    for block in range(count // 4):
        counters = np.zeros((4, len(numbers)), np.uint64)
        counters[0], counters[1], counters[2] = numbers & _LOW, numbers >> _32, block
        blocks.append(philox(counters, (seed, epoch)))
    random: Floats = np.concatenate(blocks).astype(np.float64) * 2.0**-32
    return random


def philox(counters: NDArray[np.uint64], key: tuple[int, int]) -> NDArray[np.uint64]:
    """Philox4x32-10, a counter-based random number generator.

    Args:
        counters: (4, n) of 32-bit values.
        key: two 32-bit values.

    Returns:
        (4, n) of random 32-bit values.

    Source: Salmon et al., 2011, https://doi.org/10.1145/2063384.2063405, section 3.3.
    """
    first, second, third, fourth = counters
    keys = np.array(key, np.uint64)
    for _ in range(10):
        one, two = _MULTIPLIERS[0] * first, _MULTIPLIERS[1] * third
        first, second, third, fourth = (
            (two >> _32) ^ second ^ keys[0],
            two & _LOW,
            (one >> _32) ^ fourth ^ keys[1],
            one & _LOW,
        )
        keys = (keys + _WEYL) & _LOW
    return np.stack([first, second, third, fourth])
