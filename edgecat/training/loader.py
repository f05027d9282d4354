"""Batches of pictures, prepared by threads while the model works (OpenCV frees the GIL).

Every view is drawn from (seed, epoch, picture), and batches keep their order: neither the number of
threads nor an interruption changes a bit of what the model sees.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgecat.data.folder import Picture, PictureSet
from edgecat.training.augment import Augmentation, augment
from edgecat_runtime.card import Fit
from edgecat_runtime.opencv import cv2_module
from edgecat_runtime.pictures import PictureError, decode_picture
from edgecat_runtime.preprocess import preprocess

Item = TypeVar("Item")
Result = TypeVar("Result")
Prepare = Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]

_AHEAD = 4


@dataclass(frozen=True)
class Batch:
    """Pictures ready for a model.

    Attributes:
        frames: uint8 (n, height, width, 3), BGR; n is 0 where no picture could be decoded.
        labels: int64 (n,).
        skipped: a sentence for each picture that could not be decoded.
    """

    frames: NDArray[np.uint8]
    labels: NDArray[np.int64]
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Loader:
    """Training batches: shuffled and augmented anew in every epoch.

    Attributes:
        pictures: what to train on.
        size: height and width of the frames.
        batch_size: pictures a batch, at most. The batches of an epoch differ by at most one
            picture, so that no rest of one or two upsets batch norm.
        seed: of order and augmentation.
        how: the augmentation; None gives each picture as it will be served.
        fit: how a picture meets the frame when served.
        workers: threads.
        part: this process and the number of processes that share each batch.
    """

    pictures: PictureSet
    size: int
    batch_size: int
    seed: int
    how: Augmentation | None = None
    fit: Fit = "crop"
    workers: int = 2
    part: tuple[int, int] = (0, 1)

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return -(-len(self.pictures) // self.batch_size)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, from number `start` on."""
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.pictures))
        rank, processes = self.part
        whole = np.array_split(order, self.steps)[start:]
        chosen = [np.array_split(indices, processes)[rank] for indices in whole]

        def view(image: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
            if self.how is None:
                return preprocess(image, self.size, self.size, self.fit)
            random = np.random.default_rng((self.seed, epoch, index))
            return augment(image, self.size, self.how, random)

        def load(indices: NDArray[np.int64]) -> Batch:
            return load_batch(self.pictures.pictures, indices.tolist(), view)

        return prefetched(load, chosen, workers=self.workers)


def served_batches(
    pictures: PictureSet,
    prepare: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
    *,
    batch_size: int,
    workers: int = 2,
) -> Iterator[Batch]:
    """Yield every picture once, in order, as a device would prepare it.

    Args:
        pictures: what to load.
        prepare: `preprocess` with a model's input size and fit.
        batch_size: pictures a batch, at most.
        workers: threads.
    """
    starts = range(0, len(pictures), batch_size)

    def load(start: int) -> Batch:
        indices = range(start, min(start + batch_size, len(pictures)))
        return load_batch(pictures.pictures, indices, lambda image, _: prepare(image))

    return prefetched(load, starts, workers=workers)


def load_batch(pictures: tuple[Picture, ...], indices: Iterable[int], prepare: Prepare) -> Batch:
    """Read, decode and prepare pictures; those that cannot be decoded are named and left out.

    Args:
        pictures: the set.
        indices: which of it.
        prepare: makes a frame from a decoded picture, uint8 (h, w, 3) BGR, and its index.
    """
    frames, labels, skipped = [], [], []
    for index in indices:
        picture = pictures[index]
        try:
            frames.append(prepare(decode_picture(picture.read(), picture.name), index))
            labels.append(picture.label)
        except PictureError as error:
            skipped.append(str(error))
    stacked = np.stack(frames) if frames else np.zeros((0, 1, 1, 3), np.uint8)
    return Batch(stacked, np.array(labels, np.int64), tuple(skipped))


def prefetched(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int
) -> Iterator[Result]:
    """Map in threads, in order, with at most a few results waiting; errors reach the caller."""
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers, initializer=cv2_module().setNumThreads, initargs=(1,)) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > max(_AHEAD, workers):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


class Waited(Iterator[Item]):
    """Passes items on and adds up, in `seconds`, how long it was waited for them."""

    def __init__(self, items: Iterator[Item]) -> None:
        self._items = items
        self.seconds = 0.0

    def __next__(self) -> Item:
        started = perf_counter()
        try:
            return next(self._items)
        finally:
            self.seconds += perf_counter() - started


def available_cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
