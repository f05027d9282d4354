"""Batches of images, prepared by threads while the model works (OpenCV releases the GIL).

Every view depends on (seed, epoch, image) alone, and batches keep their order: neither the number
of threads nor an interruption changes a bit of what the model sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from time import perf_counter
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgecat.data.batches import Batch, decoded, empty_frames, prefetched, stacked
from edgecat.data.folder import ImageSet, LabelledImage
from edgecat.data.stream import ShardSet
from edgecat.training.augment import Augmentation, Views, augment, begin_view, lay_out
from edgecat.training.cache import ImageCache
from edgecat.training.config import VERSION
from edgecat.training.draws import Draws, draw
from edgecat_runtime.model.card import Fit
from edgecat_runtime.model.preprocess import preprocess
from edgecat_runtime.types import Image

Chosen = Sequence[tuple[int, LabelledImage]]

Item = TypeVar("Item")
Result = TypeVar("Result")

_WINDOW = 4096


@dataclass(frozen=True)
class BegunBatch(Batch):
    """Images whose augmentation is finished on the model's device.

    Attributes:
        frames: canvases of twice the height and width of the final frames.
        views: what the device still has to do.
    """

    views: Views = field(kw_only=True)

    def repeated(self, times: int) -> Batch:
        """Each image `times` times."""
        frames, labels = self.frames.repeat(times, 0), self.labels.repeat(times)
        return replace(self, frames=frames, labels=labels, views=self.views.repeated(times))


@dataclass(frozen=True)
class CachedBatch(Batch):
    """Cached images, which are cropped and augmented on the model's device.

    Attributes:
        frames: without pixels, (n, 0, 0, 3).
        cache: holds the images.
        numbers: int64 (n,), of the images in the cache.
        views: of the images, in full.
        size: height and width of the final frames.
    """

    cache: ImageCache = field(kw_only=True)
    numbers: NDArray[np.int64] = field(kw_only=True)
    views: Views = field(kw_only=True)
    size: int = field(kw_only=True)

    def repeated(self, times: int) -> Batch:
        """Each image `times` times."""
        return replace(
            self,
            frames=self.frames.repeat(times, 0),
            labels=self.labels.repeat(times),
            numbers=self.numbers.repeat(times),
            views=self.views.repeated(times),
        )


@dataclass(frozen=True)
class Loader:
    """Training batches, shuffled and augmented differently in every epoch.

    Attributes:
        pictures: the training images; shards are streamed, one window of images after another.
        size: height and width of the frames.
        batch_size: largest number of images per batch. The batches of an epoch differ by at most
            one image, so that no remainder of one or two upsets batch norm.
        seed: of order and augmentation.
        augmentation: None gives each image as it will be served.
        fit: how an image is fitted to the frame when served.
        workers: number of decoding threads.
        part: rank of this process and number of processes that share each batch.
        on_device: leave the end of the augmentation to the device.
        pinned: put frames into memory that a GPU can copy from by itself.
        even: make all batches the same size, for compiled models: a few images come twice in an
            epoch, or with shards not at all.
        cache: the images, decoded; None decodes them in every epoch.
        version: of the rules by which views are drawn; see `TrainConfig`.
    """

    pictures: ImageSet | ShardSet
    size: int
    batch_size: int
    seed: int
    augmentation: Augmentation | None = None
    fit: Fit = "crop"
    workers: int = 2
    part: tuple[int, int] = (0, 1)
    on_device: bool = False
    pinned: bool = False
    even: bool = False
    cache: ImageCache | None = None
    version: int = VERSION

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return -(-len(self.pictures) // self.batch_size)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, from number `start` on."""
        chosen = self._chosen(epoch, start)
        if self.cache and self.augmentation and self.on_device:  # nothing left for threads
            return map(partial(self._cached, self.cache, self.augmentation, epoch), chosen)
        return prefetched(partial(self._load, epoch), chosen, workers=self.workers)

    def _chosen(self, epoch: int, start: int) -> Iterator[Chosen]:
        """Yield this process's part of each batch: images and their numbers in the set."""
        if isinstance(self.pictures, ShardSet):
            yield from _streamed(self, self.pictures, epoch, start)
            return
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.pictures))
        rank, processes = self.part
        if self.even:
            share = -(-len(order) // (self.steps * processes))
            order = np.resize(order, share * self.steps * processes)
        for indices in np.array_split(order, self.steps)[start:]:
            mine = np.array_split(indices, processes)[rank].tolist()
            yield [(index, self.pictures.pictures[index]) for index in mine]

    def _load(self, epoch: int, chosen: Chosen) -> Batch:
        """Decode, crop and augment, up to where the device goes on."""
        augmentation, size = self.augmentation, self.size
        if augmentation is None:
            frames = self._prepared(
                chosen, lambda image, _: preprocess(image, size, size, self.fit)
            )
            return stacked(*frames, pinned=self.pinned)
        draws = self._draws(augmentation, epoch, [number for number, _ in chosen])
        if not self.on_device:
            views = self._prepared(
                chosen, lambda image, i: augment(image, size, draws.view(i, *image.shape[:2]))
            )
            return stacked(*views, pinned=self.pinned)
        begun, labels, skipped = self._prepared(
            chosen, lambda image, i: begin_view(image, size, draws.view(i, *image.shape[:2]))
        )
        canvases = empty_frames((len(begun), 2 * size, 2 * size, 3), pinned=self.pinned)
        rest = lay_out(begun, canvases)
        return BegunBatch(canvases, np.array(labels, np.int64), tuple(skipped), views=rest)

    def _prepared(
        self, chosen: Chosen, prepare: Callable[[Image, int], Result]
    ) -> tuple[list[Result], list[int], list[str]]:
        if self.cache:
            return self.cache.prepared([number for number, _ in chosen], prepare)
        return decoded([picture for _, picture in chosen], range(len(chosen)), prepare)

    def _cached(
        self, cache: ImageCache, augmentation: Augmentation, epoch: int, chosen: Chosen
    ) -> Batch:
        """Say which views of cached images the device makes."""
        drawn = [number for number, _ in chosen]
        readable, skipped = cache.readable(drawn)
        numbers = np.array(drawn, np.int64)[readable]
        if not readable:
            return stacked((), (), skipped)
        draws = self._draws(augmentation, epoch, numbers.tolist())
        return CachedBatch(
            np.zeros((len(numbers), 0, 0, 3), np.uint8),
            cache.labels[numbers],
            tuple(skipped),
            cache=cache,
            numbers=numbers,
            views=draws.views(*cache.sizes[numbers].T),
            size=self.size,
        )

    def _draws(self, augmentation: Augmentation, epoch: int, numbers: Sequence[int]) -> Draws:
        return draw(augmentation, self.seed, epoch, numbers, version=self.version, fit=self.fit)


def _streamed(loader: Loader, shards: ShardSet, epoch: int, start: int) -> Iterator[Chosen]:
    """Yield as `Loader._chosen`: shards in a random order, each window of images shuffled.

    The processes cut that order into parts of equal length, so each of them reads its own shards,
    except for the two that its part may begin and end in. The order depends on numbers alone: an
    interrupted epoch is continued without reading what came before.
    """
    rank, processes = loader.part
    order = np.random.default_rng((loader.seed, epoch)).permutation(len(shards.shards)).tolist()
    first, end = (len(shards) * part // processes for part in (rank, rank + 1))
    lengths = [len(part) for part in np.array_split(np.arange(end - first), loader.steps)]
    if loader.even and (least := len(shards) // processes // loader.steps):
        lengths = [least] * loader.steps
    seen = sum(lengths[:start])
    reader = shards.reader(order)

    def window(begin: int) -> Chosen:
        pictures = reader.read(begin, min(begin + _WINDOW, end))
        mixed = np.random.default_rng((loader.seed, epoch, begin)).permutation(len(pictures))
        return [pictures[index] for index in mixed.tolist()]

    begins = range(first + seen // _WINDOW * _WINDOW, end, _WINDOW)
    windows = prefetched(window, begins, workers=1, ahead=1)
    pictures = islice(chain.from_iterable(windows), seen % _WINDOW, None)
    for length in lengths[start:]:
        yield list(islice(pictures, length))


class Waited(Iterator[Item]):
    """Passes items on and adds up, in `seconds`, the time spent waiting for them."""

    def __init__(self, items: Iterator[Item]) -> None:
        self._items = items
        self.seconds = 0.0

    def __next__(self) -> Item:
        started = perf_counter()
        try:
            return next(self._items)
        finally:
            self.seconds += perf_counter() - started
