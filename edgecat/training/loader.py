"""Batches of pictures, prepared by threads while the model works (OpenCV frees the GIL).

Every view is drawn from (seed, epoch, picture), and batches keep their order: neither the number of
threads nor an interruption changes a bit of what the model sees.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from time import perf_counter
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgecat.data.batches import Batch, decoded, empty_frames, load_batch, prefetched
from edgecat.data.folder import Picture, PictureSet
from edgecat.data.stream import ShardSet
from edgecat.training.augment import Augmentation, Views, augment, begin_view, lay_out
from edgecat_runtime.model.card import Fit
from edgecat_runtime.model.preprocess import preprocess

Chosen = Sequence[tuple[int, Picture]]

Item = TypeVar("Item")

_WINDOW = 4096


@dataclass(frozen=True)
class BegunBatch(Batch):
    """Pictures whose augmentation is finished on the model's device.

    Attributes:
        frames: canvases of twice the height and width of the frames to come.
        views: what the device has to do to them.
    """

    views: Views = field(kw_only=True)


@dataclass(frozen=True)
class Loader:
    """Training batches: shuffled and augmented anew in every epoch.

    Attributes:
        pictures: what to train on; shards are streamed, one window of pictures after another.
        size: height and width of the frames.
        batch_size: images per batch, at most. The batches of an epoch differ by at most one
            picture, so that no rest of one or two upsets batch norm.
        seed: of order and augmentation.
        how: the augmentation; None gives each picture as it will be served.
        fit: how a picture meets the frame when served.
        workers: number of decoding threads.
        part: this process and the number of processes that share each batch.
        on_device: leave the end of the augmentation to the device: a `BegunBatch`.
        pinned: give frames in memory that a GPU copies from while the processor goes on.
    """

    pictures: PictureSet | ShardSet
    size: int
    batch_size: int
    seed: int
    how: Augmentation | None = None
    fit: Fit = "crop"
    workers: int = 2
    part: tuple[int, int] = (0, 1)
    on_device: bool = False
    pinned: bool = False

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return -(-len(self.pictures) // self.batch_size)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, from number `start` on."""
        return prefetched(
            partial(self._load, epoch), self._chosen(epoch, start), workers=self.workers
        )

    def _chosen(self, epoch: int, start: int) -> Iterator[Chosen]:
        """Yield this process's part of each batch: pictures and their numbers in the set."""
        if isinstance(self.pictures, ShardSet):
            yield from _streamed(self, self.pictures, epoch, start)
            return
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.pictures))
        rank, processes = self.part
        for indices in np.array_split(order, self.steps)[start:]:
            mine = np.array_split(indices, processes)[rank].tolist()
            yield [(index, self.pictures.pictures[index]) for index in mine]

    def _load(self, epoch: int, chosen: Chosen) -> Batch:
        how, size = self.how, self.size
        pictures = tuple(picture for _, picture in chosen)

        def random(index: int) -> np.random.Generator:
            return np.random.default_rng((self.seed, epoch, chosen[index][0]))

        def view(image: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
            if how is None:
                return preprocess(image, size, size, self.fit)
            return augment(image, size, how, random(index))

        if how is None or not self.on_device:
            return load_batch(pictures, range(len(pictures)), view, pinned=self.pinned)
        begun, labels, skipped = decoded(
            pictures,
            range(len(pictures)),
            lambda image, index: begin_view(image, size, how, random(index)),
        )
        canvases = empty_frames((len(begun), 2 * size, 2 * size, 3), pinned=self.pinned)
        views = lay_out(begun, canvases)
        return BegunBatch(canvases, np.array(labels, np.int64), tuple(skipped), views=views)


def _streamed(loader: Loader, shards: ShardSet, epoch: int, start: int) -> Iterator[Chosen]:
    """Yield as `Loader._chosen`: shards in a drawn order, each window of pictures shuffled.

    The processes cut that order into parts of even length, so each of them reads its own shards,
    but for the two that its part may begin and end in. Nothing but numbers decides who comes when:
    an interrupted epoch is gone on with without reading what went before.
    """
    rank, processes = loader.part
    order = np.random.default_rng((loader.seed, epoch)).permutation(len(shards.shards)).tolist()
    first, end = (len(shards) * part // processes for part in (rank, rank + 1))
    lengths = [len(part) for part in np.array_split(np.arange(end - first), loader.steps)]
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
