"""The images of a study: drawn pets or photographs, small, all in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgecat.data.batches import served_batches
from edgecat.data.folder import ImageSet, scan, split
from edgecat.evaluation.robustness import evenly
from edgecat.pets.synthetic import LABELS, draw_pet
from edgecat.study.frame import Advance, Study
from edgecat.study.words import tr
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.preprocess import preprocess
from edgecat_runtime.system.machine import cores

LEAST = 32
MEAN, SCALE = 127.5, 64.0  # gives values in -2..2, as with ImageNet's mean and std
_DRAWN = 1_000_000


@dataclass(frozen=True)
class LabelledImages:
    """Labelled images.

    Attributes:
        images: float32 (n, 3, size, size), RGB, normalised.
        labels: int64 (n,).
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Count the images."""
        return len(self.labels)

    def __getitem__(self, chosen: Tensor | slice) -> LabelledImages:
        """Select a subset."""
        return LabelledImages(self.images[chosen], self.labels[chosen])


@dataclass(frozen=True)
class Material:
    """The training and validation images of a study.

    Attributes:
        labels: class names.
        training: the training images.
        validation: the validation images.
        drawn: whether they are drawn, not photographs.
        skipped: one message per image that could not be used.
    """

    labels: tuple[str, ...]
    training: LabelledImages
    validation: LabelledImages
    drawn: bool
    skipped: tuple[str, ...] = ()

    @property
    def about(self) -> str:
        """A description: `640 drawn faces of 32 x 32 pixels, and 256 for validation`."""
        return tr("{learnt}, and {validation:,} for validation", learnt=self.learnt,
                  validation=len(self.validation))  # fmt: skip

    @property
    def learnt(self) -> str:
        """The same without the validation images: `640 drawn faces of 32 x 32 pixels`."""
        count, size = len(self.training), self.training.images.shape[-1]
        if self.drawn:
            return tr("{count:,} drawn faces of {size} x {size} pixels", count=count, size=size)
        return tr("{count:,} photos of {size} x {size} pixels", count=count, size=size)


def material(
    data: tuple[str, ...],
    *,
    training: int,
    validation: int,
    size: int,
    advance: Callable[[int], None] = lambda pictures: None,
) -> Material:
    """Draw pets or load photographs, balanced by class.

    Args:
        data: folders of class folders and tar files; empty for drawn faces of cats and dogs,
            which a small network learns to distinguish in a minute.
        training: maximum number of training images; photographs may be fewer.
        validation: maximum number of validation images.
        size: height and width of the images in pixels.
        advance: called with the number of images just done, of `training + validation` in total.

    Raises:
        UserError: the images cannot be used, or there are fewer than `LEAST` training images.
    """
    if data:
        return _photographs(data, training, validation, size, advance)
    drawn = _drawn(training + validation, size, advance)
    return Material(LABELS, drawn[slice(training)], drawn[slice(training, None)], drawn=True)


@dataclass(frozen=True, kw_only=True)
class ImageStudy(Study):
    """A study with training and validation images.

    Attributes:
        size: height and width of the images in pixels.
        pictures: number of training images.
        validation: number of validation images.
    """

    size: int = 32
    pictures: int = 512
    validation: int = 256

    def found(self, advance: Advance) -> Material:
        """Return the images; raises as `material`."""
        return material(
            self.data,
            training=self.pictures,
            validation=self.validation,
            size=self.size,
            advance=advance,
        )


def normalised(frames: NDArray[np.uint8]) -> Tensor:
    """Turn frames, uint8 (n, size, size, 3) BGR, into images as in `LabelledImages`."""
    rgb = torch.from_numpy(frames).permute(0, 3, 1, 2).flip(1).to(torch.float32)
    return ((rgb - MEAN) / SCALE).contiguous()


def coloured(images: Tensor) -> Tensor:
    """Turn images as in `LabelledImages` back into RGB, 0..1, for display."""
    return (images * SCALE + MEAN).clamp(0, 255) / 255


def frames_of(pictures: LabelledImages) -> NDArray[np.uint8]:
    """Turn images back into frames, uint8 (n, size, size, 3) BGR."""
    values = (255 * coloured(pictures.images)).round().to(torch.uint8)
    return np.ascontiguousarray(values.flip(1).permute(0, 2, 3, 1).numpy())


def _drawn(count: int, size: int, advance: Callable[[int], None]) -> LabelledImages:
    frames = np.empty((count, size, size, 3), np.uint8)
    for number in range(count):
        frames[number] = draw_pet(_DRAWN + number, number % 2, size, pose="face")[0]
        advance(1)
    return LabelledImages(normalised(frames), torch.arange(count) % 2)


def _photographs(
    data: tuple[str, ...], training: int, validation: int, size: int, advance: Callable[[int], None]
) -> Material:
    found = scan(data)
    parts = split(found, val=0.25)
    learnt, n_learnt = _loaded(evenly(parts[0], training), size, advance)
    judged, n_judged = _loaded(evenly(parts[1], validation), size, advance)
    if len(learnt) < LEAST or not len(judged):
        skipped = (*found.skipped, *n_learnt, *n_judged)
        told = f" ({len(skipped)} could not be used, e.g. {skipped[0]})" if skipped else ""
        raise UserError(
            f"only {len(learnt)} training and {len(judged)} validation images are left{told}; a "
            f"study needs {LEAST} or more. Add images"
        )
    advance(training + validation - len(learnt) - len(judged))
    skipped = (*found.skipped, *n_learnt, *n_judged)
    return Material(found.labels, learnt, judged, drawn=False, skipped=skipped)


def _loaded(
    pictures: ImageSet, size: int, advance: Callable[[int], None]
) -> tuple[LabelledImages, tuple[str, ...]]:
    """Load images, preprocessed as for inference, in an order that interleaves the classes."""
    frames: list[NDArray[np.uint8]] = []
    labels: list[NDArray[np.int64]] = []
    skipped: list[str] = []
    prepare = partial(preprocess, height=size, width=size)
    for batch in served_batches(pictures, prepare, batch_size=64, workers=cores()):
        if len(batch.labels):
            frames.append(batch.frames)
            labels.append(batch.labels)
        skipped += batch.skipped
        advance(len(batch.labels))
    if not frames:
        empty = LabelledImages(torch.zeros(0, 3, size, size), torch.zeros(0, dtype=torch.int64))
        return empty, tuple(skipped)
    order = torch.from_numpy(np.random.default_rng(0).permutation(sum(map(len, labels))))
    whole = LabelledImages(
        normalised(np.concatenate(frames)), torch.from_numpy(np.concatenate(labels))
    )
    return whole[order], tuple(skipped)
