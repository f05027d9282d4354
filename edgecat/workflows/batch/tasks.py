"""What the driver and its workers exchange."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_MOST_BATCHES = 32  # per part
_FEWEST_PARTS = 64  # as long as a part has at least one batch


class Item(NamedTuple):
    """One encoded image, not read yet.

    Attributes:
        source: its name in the output: `photos/cat/1.jpg`, `train-0.tar:cat/1.jpg`,
            `train-0.parquet:12`.
        path: the file that contains it.
        offset: its first byte; in a Parquet file the row inside the row group.
        size: in bytes; 0 in a Parquet file.
        row_group: of a Parquet file; -1 for any other file.
    """

    source: str
    path: str
    offset: int
    size: int
    row_group: int = -1


@dataclass(frozen=True)
class Task:
    """A part of the images, for one worker.

    Attributes:
        part: number of the part, from 0.
        items: its images; every `batch` of them, from the first on, are one batch.
        excluded: images left out of their batch, by their place in `items`, with the reason.
        begin: the place of the first item in its part: above 0 in a probe.
        probe: only whether the worker survives it counts; the rows are discarded.
        contents: the images' bytes, or why one cannot be read, for a worker that does not see the
            files; None: the worker reads them.
    """

    part: int
    items: tuple[Item, ...]
    excluded: Mapping[int, str] = field(default_factory=dict)
    begin: int = 0
    probe: bool = False
    contents: tuple[bytes | str, ...] | None = None

    def __str__(self) -> str:
        first, last = self.items[0].source, self.items[-1].source
        return first if first == last else f"{first} to {last}"


@dataclass(frozen=True)
class Rows:
    """The predictions of a part, row by row; a row with an error has no other values.

    Attributes:
        labels: the most probable class, or `unsure`.
        confidences: as `Prediction.confidence`.
        energies: as `Prediction.energy`.
        logits: float32 (rows, classes); the rows with an error are 0.
        errors: why an image has no prediction.
    """

    labels: tuple[str | None, ...]
    confidences: tuple[float | None, ...]
    energies: tuple[float | None, ...]
    logits: NDArray[np.float32]
    errors: tuple[str | None, ...]


def images_per_part(images: int, batch: int) -> int:
    """Return the size of a part: a whole number of batches, which grows with the images.

    Example:
        >>> images_per_part(1_000, 16), images_per_part(10_000_000, 16)
        (16, 512)
    """
    return batch * max(1, min(_MOST_BATCHES, images // (batch * _FEWEST_PARTS)))
