"""Augmentation: a random crop with aspect, a flip and a change of colour, in three OpenCV calls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.model.preprocess import halved, shrink
from edgecat_runtime.system.opencv import cv2_module
from edgecat_runtime.types import Image

_LUMA = np.array([0.114, 0.587, 0.299])  # of blue, green, red: ITU-R BT.601


@dataclass(frozen=True)
class Augmentation:
    """How far a training picture is changed.

    Attributes:
        area: least and most share of the picture's area that the crop covers.
        aspect: the crop's width over height lies between 1 / aspect and aspect.
        flip: chance of a left-right flip.
        brightness: values are scaled by 1 - brightness to 1 + brightness.
        contrast: likewise, around mid-grey.
        saturation: likewise, around each pixel's own grey.
    """

    area: tuple[float, float] = (0.35, 1.0)
    aspect: float = 4 / 3
    flip: float = 0.5
    brightness: float = 0.3
    contrast: float = 0.3
    saturation: float = 0.3


@dataclass(frozen=True)
class View:
    """What one draw decides: rectangle to cut out, in pixels, mirroring, and change of colour.

    Attributes:
        top: first row of the crop.
        left: first column.
        height: rows.
        width: columns.
        flip: left and right change places.
        colour: float32 (3, 4), an affine map of BGR values.
    """

    top: int
    left: int
    height: int
    width: int
    flip: bool
    colour: NDArray[np.float32]


@dataclass(frozen=True)
class Views:
    """What is left to do to the crops of a batch: resize, mirror, change colour.

    Attributes:
        crops: int64 (n, 2), height and width of each crop.
        flips: bool (n,): left and right change places.
        colours: float32 (n, 3, 4), affine maps of BGR values.
    """

    crops: NDArray[np.int64]
    flips: NDArray[np.bool_]
    colours: NDArray[np.float32]

    def repeated(self, times: int) -> Views:
        """Each of them so many times."""
        return Views(
            self.crops.repeat(times, 0),
            self.flips.repeat(times, 0),
            self.colours.repeat(times, 0),
        )


def draw_view(
    height: int, width: int, augmentation: Augmentation, random: np.random.Generator
) -> View:
    """Draw the view of a picture of `height` by `width` pixels; arguments as for `augment`."""
    crop = random_crop(height, width, augmentation, random)
    return View(
        *crop, flip=random.random() < augmentation.flip, colour=colour_matrix(augmentation, random)
    )


def augment(
    image: Image, size: int, augmentation: Augmentation, random: np.random.Generator
) -> Image:
    """Draw one training view of a picture.

    Args:
        image: uint8 (h, w, 3), BGR.
        size: height and width of the view.
        augmentation: how far it may differ.
        random: where the draws come from; the same state gives the same view.

    Returns:
        uint8 (size, size, 3), BGR.
    """
    drawn = draw_view(image.shape[0], image.shape[1], augmentation, random)
    view = shrink(_cut(image, drawn), size, size)
    if drawn.flip:
        view = cv2_module().flip(view, 1)
    return np.asarray(cv2_module().transform(view, drawn.colour), np.uint8)


def begin_view(
    image: Image, size: int, augmentation: Augmentation, random: np.random.Generator
) -> tuple[Image, View]:
    """Do the part of `augment` that makes the picture smaller, and leave the rest to the device.

    Returns:
        uint8 (below 2 size, below 2 size, 3), BGR: the crop, shrunk by halvings; and the view,
        whose flip and change of colour are still to come, after a linear resize.
    """
    drawn = draw_view(image.shape[0], image.shape[1], augmentation, random)
    return halved(_cut(image, drawn), size, size), drawn


def lay_out(begun: Sequence[tuple[Image, View]], canvases: Image) -> Views:
    """Lay the crops of `begin_view` into the upper left corners of canvases, black elsewhere.

    Args:
        begun: crops of different sizes and their views.
        canvases: uint8 (n, 2 size, 2 size, 3), written to.
    """
    canvases[:] = 0
    for canvas, (crop, _) in zip(canvases, begun, strict=True):
        canvas[: crop.shape[0], : crop.shape[1]] = crop
    return Views(
        np.array([crop.shape[:2] for crop, _ in begun], np.int64).reshape(-1, 2),
        np.array([view.flip for _, view in begun], np.bool_),
        np.array([view.colour for _, view in begun], np.float32).reshape(-1, 3, 4),
    )


def random_crop(
    height: int, width: int, augmentation: Augmentation, random: np.random.Generator
) -> tuple[int, int, int, int]:
    """Draw a crop of random area, aspect and place: top, left, height and width in pixels.

    Source: Szegedy et al., 2014 (https://arxiv.org/abs/1409.4842), section 6, with the crop cut to
    the picture where it would stick out.
    """
    area = height * width * random.uniform(*augmentation.area)
    aspect = math.exp(random.uniform(-1, 1) * math.log(augmentation.aspect))
    crop_height = min(height, max(1, round(math.sqrt(area / aspect))))
    crop_width = min(width, max(1, round(math.sqrt(area * aspect))))
    top = int(random.integers(height - crop_height + 1))
    left = int(random.integers(width - crop_width + 1))
    return top, left, crop_height, crop_width


def _cut(image: Image, drawn: View) -> Image:
    return image[drawn.top : drawn.top + drawn.height, drawn.left : drawn.left + drawn.width]


def colour_matrix(augmentation: Augmentation, random: np.random.Generator) -> NDArray[np.float32]:
    """Draw brightness, contrast and saturation as one affine map: float32 (3, 4) on BGR values."""
    brightness, contrast, saturation = (
        1 + strength * random.uniform(-1, 1)
        for strength in (augmentation.brightness, augmentation.contrast, augmentation.saturation)
    )
    mix = saturation * np.eye(3) + (1 - saturation) * np.tile(_LUMA, (3, 1))
    offset = np.full((3, 1), 127.5 * (1 - contrast))
    return np.hstack([brightness * contrast * mix, offset]).astype(np.float32)
