"""Augmentation: a random crop with aspect, a flip and a colour change, in three OpenCV calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.model.preprocess import PADDING, halved, shrink
from edgecat_runtime.system.opencv import cv2_module
from edgecat_runtime.types import Image


@dataclass(frozen=True)
class Augmentation:
    """How far a training image is changed.

    Attributes:
        area: smallest and largest fraction of the image's area that the crop covers.
        aspect: the crop's width over height lies between 1 / aspect and aspect.
        flip: probability of a left-right flip.
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
    """One augmented view of an image: the crop in pixels, the flip and the colour change.

    Attributes:
        top: first row of the crop; crops may extend beyond the image, into grey padding.
        left: first column.
        height: rows.
        width: columns.
        flip: swap left and right.
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
    """The views of a batch.

    Attributes:
        crops: int64 (n, 4), top, left, height and width of each crop, in pixels.
        flips: bool (n,): swap left and right.
        colours: float32 (n, 3, 4), affine maps of BGR values.
    """

    crops: NDArray[np.int64]
    flips: NDArray[np.bool_]
    colours: NDArray[np.float32]

    @classmethod
    def of(cls, views: Sequence[View]) -> Views:
        """Stack single views."""
        crops = [(view.top, view.left, view.height, view.width) for view in views]
        return cls(
            np.array(crops, np.int64).reshape(-1, 4),
            np.array([view.flip for view in views], np.bool_),
            np.array([view.colour for view in views], np.float32).reshape(-1, 3, 4),
        )

    def repeated(self, times: int) -> Views:
        """Each view `times` times."""
        return Views(
            self.crops.repeat(times, 0),
            self.flips.repeat(times, 0),
            self.colours.repeat(times, 0),
        )


def augment(image: Image, size: int, view: View) -> Image:
    """Make one view of an image.

    Args:
        image: uint8 (h, w, 3), BGR.
        size: height and width of the result.
        view: drawn for the image's height and width.

    Returns:
        uint8 (size, size, 3), BGR.
    """
    frame = shrink(_cut(image, view), size, size)
    if view.flip:
        frame = cv2_module().flip(frame, 1)
    return np.asarray(cv2_module().transform(frame, view.colour), np.uint8)


def begin_view(image: Image, size: int, view: View) -> tuple[Image, View]:
    """Do the part of `augment` that makes the image smaller, and leave the rest to the device.

    Returns:
        uint8 (below 2 size, below 2 size, 3), BGR: the crop, reduced by halving; and the view,
        whose flip and colour change still have to follow a linear resize.
    """
    return halved(_cut(image, view), size, size), view


def lay_out(begun: Sequence[tuple[Image, View]], canvases: Image) -> Views:
    """Copy the crops of `begin_view` into the upper left corners of canvases, black elsewhere.

    Args:
        begun: crops of different sizes, and their views.
        canvases: uint8 (n, 2 size, 2 size, 3), written to.

    Returns:
        The views, whose crops are now those of the canvases.
    """
    canvases[:] = 0
    views = Views.of([view for _, view in begun])
    for number, (crop, _) in enumerate(begun):
        height, width = crop.shape[:2]
        canvases[number, :height, :width] = crop
        views.crops[number] = 0, 0, height, width
    return views


def _cut(image: Image, view: View) -> Image:
    """Crop; what lies outside the image is padding, as in `preprocess` with `letterbox`."""
    bottom, right = view.top + view.height, view.left + view.width
    inside = image[max(view.top, 0) : max(bottom, 0), max(view.left, 0) : max(right, 0)]
    if inside.shape[:2] == (view.height, view.width):
        return inside
    cut = np.full((view.height, view.width, 3), PADDING, np.uint8)
    top, left = max(-view.top, 0), max(-view.left, 0)
    cut[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return cut
