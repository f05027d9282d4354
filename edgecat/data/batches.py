"""Batches of images, decoded by threads while the model works (OpenCV releases the GIL)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgecat.data.folder import ImageSet, LabelledImage
from edgecat_runtime.images import ImageError, decode_image
from edgecat_runtime.system.opencv import cv2_module

Item = TypeVar("Item")
Result = TypeVar("Result")
Prepare = Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]
_AHEAD = 4


@dataclass(frozen=True)
class Batch:
    """Images for a model.

    Attributes:
        frames: uint8 (n, height, width, 3), BGR; n is 0 if no image could be decoded.
        labels: int64 (n,).
        skipped: a sentence for each image that could not be decoded.
    """

    frames: NDArray[np.uint8]
    labels: NDArray[np.int64]
    skipped: tuple[str, ...] = ()

    def repeated(self, times: int) -> Batch:
        """Each image `times` times."""
        return replace(self, frames=self.frames.repeat(times, 0), labels=self.labels.repeat(times))


def served_batches(
    pictures: ImageSet,
    prepare: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
    *,
    batch_size: int,
    workers: int = 2,
) -> Iterator[Batch]:
    """Yield every image once, in order, as a device would prepare it.

    Args:
        pictures: the images.
        prepare: `preprocess` with a model's input size and fit.
        batch_size: largest number of images per batch.
        workers: number of decoding threads.
    """
    starts = range(0, len(pictures), batch_size)

    def load(start: int) -> Batch:
        indices = range(start, min(start + batch_size, len(pictures)))
        return load_batch(pictures.pictures, indices, lambda image, _: prepare(image))

    return prefetched(load, starts, workers=workers)


def load_batch(
    pictures: tuple[LabelledImage, ...],
    indices: Iterable[int],
    prepare: Prepare,
    *,
    pinned: bool = False,
) -> Batch:
    """Read, decode and prepare images; those that cannot be decoded are reported and left out.

    Args:
        pictures: the set.
        indices: of the images to load.
        prepare: makes a frame from a decoded image, uint8 (h, w, 3) BGR, and its index.
        pinned: put the frames into memory that a GPU can copy from by itself.
    """
    return stacked(*decoded(pictures, indices, prepare), pinned=pinned)


def decoded(
    pictures: Sequence[LabelledImage],
    indices: Iterable[int],
    prepare: Callable[[NDArray[np.uint8], int], Result],
) -> tuple[list[Result], list[int], list[str]]:
    """Prepare images: results, labels, and sentences about those that cannot be decoded."""
    results, labels, skipped = [], [], []
    for index in indices:
        picture = pictures[index]
        try:
            results.append(prepare(decode_image(picture.read(), picture.name), index))
            labels.append(picture.label)
        except ImageError as error:
            skipped.append(str(error))
    return results, labels, skipped


def stacked(
    frames: Sequence[NDArray[np.uint8]],
    labels: Sequence[int],
    skipped: Sequence[str],
    *,
    pinned: bool = False,
) -> Batch:
    """Make a batch of what `decoded` returns: frames of one size."""
    if not frames:
        return Batch(np.zeros((0, 1, 1, 3), np.uint8), np.zeros(0, np.int64), tuple(skipped))
    stack = empty_frames((len(frames), *frames[0].shape), pinned=pinned)
    return Batch(np.stack(frames, out=stack), np.array(labels, np.int64), tuple(skipped))


def empty_frames(shape: tuple[int, ...], *, pinned: bool) -> NDArray[np.uint8]:
    """An uninitialised array; if `pinned`, in memory that a GPU can copy from by itself."""
    if not pinned:
        return np.empty(shape, np.uint8)
    import torch

    return np.asarray(torch.empty(shape, dtype=torch.uint8, pin_memory=True).numpy())


def prefetched(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int, ahead: int = _AHEAD
) -> Iterator[Result]:
    """Map in threads, in order, a few results ahead; errors are raised in the caller."""
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers, initializer=cv2_module().setNumThreads, initargs=(1,)) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > max(ahead, workers):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
