"""The pictures of a study: drawn pets or photographs, small, all in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgecat.data.batches import served_batches
from edgecat.data.folder import PictureSet, scan, split
from edgecat.evaluation.robustness import evenly
from edgecat.pets.synthetic import LABELS, draw_pet
from edgecat.study.frame import Advance, Study
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.preprocess import preprocess
from edgecat_runtime.system.machine import cores

LEAST = 32
MEAN, SCALE = 127.5, 64.0  # values then lie within -2..2, as with ImageNet's own mean and std
_DRAWN = 1_000_000


@dataclass(frozen=True)
class Pictures:
    """Labelled pictures.

    Attributes:
        images: float32 (n, 3, size, size), RGB, normalised.
        labels: int64 (n,).
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Count them."""
        return len(self.labels)

    def __getitem__(self, chosen: Tensor | slice) -> Pictures:
        """Choose some of them."""
        return Pictures(self.images[chosen], self.labels[chosen])


@dataclass(frozen=True)
class Material:
    """What a study learns from and is judged by.

    Attributes:
        labels: class names.
        training: what it learns from.
        validation: other pictures.
        about: in words: `640 drawn pets`.
        skipped: a sentence for each picture that could not be used.
    """

    labels: tuple[str, ...]
    training: Pictures
    validation: Pictures
    about: str
    skipped: tuple[str, ...] = ()


def material(
    data: tuple[str, ...],
    *,
    training: int,
    validation: int,
    size: int,
    advance: Callable[[int], None] = lambda pictures: None,
) -> Material:
    """Draw pets, or load photographs, evenly of each class.

    Args:
        data: folders of class folders and tar files; empty for drawn faces of cats and dogs,
            which a small network learns to tell apart in a minute.
        training: how many to learn from, at most; photographs may be fewer.
        validation: how many others, at most.
        size: their height and width in pixels.
        advance: told how many more are ready, of `training + validation` in all.

    Raises:
        UserError: the pictures cannot be used, or fewer than `LEAST` are there to learn from.
    """
    if data:
        return _photographs(data, training, validation, size, advance)
    drawn = _drawn(training + validation, size, advance)
    about = f"{training:,} drawn faces of {size} by {size} pixels, and {validation:,} others"
    return Material(LABELS, drawn[slice(training)], drawn[slice(training, None)], about)


@dataclass(frozen=True, kw_only=True)
class PictureStudy(Study):
    """A study that learns from some pictures and is judged by others.

    Attributes:
        size: height and width of the pictures in pixels.
        pictures: to learn from.
        validation: to judge by.
    """

    size: int = 32
    pictures: int = 512
    validation: int = 256

    def found(self, advance: Advance) -> Material:
        """The pictures; raises as `material`."""
        return material(
            self.data,
            training=self.pictures,
            validation=self.validation,
            size=self.size,
            advance=advance,
        )


def normalised(frames: NDArray[np.uint8]) -> Tensor:
    """Turn frames, uint8 (n, size, size, 3) BGR, into images as in `Pictures`."""
    rgb = torch.from_numpy(frames).permute(0, 3, 1, 2).flip(1).to(torch.float32)
    return ((rgb - MEAN) / SCALE).contiguous()


def coloured(images: Tensor) -> Tensor:
    """Turn images as in `Pictures` back into colours, RGB, 0..1, to be looked at."""
    return (images * SCALE + MEAN).clamp(0, 255) / 255


def frames_of(pictures: Pictures) -> NDArray[np.uint8]:
    """Turn images back into frames, uint8 (n, size, size, 3) BGR."""
    values = (255 * coloured(pictures.images)).round().to(torch.uint8)
    return np.ascontiguousarray(values.flip(1).permute(0, 2, 3, 1).numpy())


def _drawn(count: int, size: int, advance: Callable[[int], None]) -> Pictures:
    frames = np.empty((count, size, size, 3), np.uint8)
    for number in range(count):
        frames[number] = draw_pet(_DRAWN + number, number % 2, size, pose="face")[0]
        advance(1)
    return Pictures(normalised(frames), torch.arange(count) % 2)


def _photographs(
    data: tuple[str, ...], training: int, validation: int, size: int, advance: Callable[[int], None]
) -> Material:
    found = scan(data)
    parts = split(found, val=0.25)
    learnt, n_learnt = _loaded(evenly(parts[0], training), size, advance)
    judged, n_judged = _loaded(evenly(parts[1], validation), size, advance)
    if len(learnt) < LEAST or not len(judged):
        skipped = (*found.skipped, *n_learnt, *n_judged)
        told = f" ({len(skipped)} could not be used, such as {skipped[0]})" if skipped else ""
        raise UserError(
            f"{len(learnt)} pictures are left to learn from and {len(judged)} to judge by{told}; a "
            f"study needs {LEAST} and more. Add pictures"
        )
    advance(training + validation - len(learnt) - len(judged))
    about = (
        f"{len(learnt):,} photographs, cut to {size} by {size} pixels, and {len(judged):,} others"
    )
    return Material(found.labels, learnt, judged, about, (*found.skipped, *n_learnt, *n_judged))


def _loaded(
    pictures: PictureSet, size: int, advance: Callable[[int], None]
) -> tuple[Pictures, tuple[str, ...]]:
    """Load pictures as they would be served, in an order that mixes the classes."""
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
        empty = Pictures(torch.zeros(0, 3, size, size), torch.zeros(0, dtype=torch.int64))
        return empty, tuple(skipped)
    order = torch.from_numpy(np.random.default_rng(0).permutation(sum(map(len, labels))))
    whole = Pictures(normalised(np.concatenate(frames)), torch.from_numpy(np.concatenate(labels)))
    return whole[order], tuple(skipped)
