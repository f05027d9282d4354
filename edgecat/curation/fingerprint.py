"""Image fingerprints that find duplicates, even re-encoded, resized, mirrored or relit ones.

A perceptual hash by the discrete cosine transform (Zauner, Implementation and Benchmarking of
Perceptual Image Hash Functions, 2010, https://www.phash.org/docs/pubs/thesis_zauner.pdf): the
signs of the 64 lowest frequencies of a 32 x 32 grey image. Mirroring changes only the signs of the
odd horizontal frequencies. Candidates are confirmed by comparing small thumbnails.
The limits were measured: docs/data.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.model.preprocess import shrink
from edgecat_runtime.system.opencv import cv2_module

DISTANCE = 12  # maximum number of differing bits, of 64
LIKENESS = 0.95  # minimum correlation of the thumbnails

_SIDE, _THUMB, _BITS = 32, 16, 64
_BLOCK = 1024
_LOWEST = sorted((y + x, y, x) for y in range(_THUMB) for x in range(_THUMB))[1 : _BITS + 1]
_Y = np.array([y for _, y, _ in _LOWEST])
_X = np.array([x for _, _, x in _LOWEST])
_MIRROR = np.where(_X % 2, -1, 1).astype(np.float32)

Floats = NDArray[np.float32]


class Fingerprint(NamedTuple):
    """The fingerprint of one image.

    Attributes:
        signs: float32 (64,), each -1 or 1: the perceptual hash.
        thumb: float32 (256,), a 16 x 16 grey thumbnail minus its mean, of norm 1; norm 0 for an
            image of a single colour, which matches nothing.
    """

    signs: Floats
    thumb: Floats


@dataclass(frozen=True)
class Likeness:
    """The similarity of two images.

    Attributes:
        distance: Hamming distance of their hashes, 0..64.
        correlation: of their thumbnails, -1..1.
        mirrored: whether one image was mirrored for this comparison.
    """

    distance: int
    correlation: float
    mirrored: bool

    def __bool__(self) -> bool:
        """Whether both measures are within their limits, so the images count as duplicates."""
        return self.distance <= DISTANCE and self.correlation >= LIKENESS


def fingerprint(image: NDArray[np.uint8]) -> Fingerprint:
    """Compute the fingerprint of an image.

    Args:
        image: uint8 (h, w, 3), BGR; the aspect ratio is ignored.
    """
    cv2 = cv2_module()
    grey = cv2.cvtColor(shrink(image, _SIDE, _SIDE), cv2.COLOR_BGR2GRAY).astype(np.float32)
    signs = np.where(cv2.dct(grey)[_Y, _X] > 0, np.float32(1), np.float32(-1))
    thumb = grey.reshape(_THUMB, 2, _THUMB, 2).mean((1, 3)).ravel()
    thumb -= thumb.mean()
    length = float(np.linalg.norm(thumb))
    return Fingerprint(signs, thumb / length if length > 1 else np.zeros_like(thumb))


def compared(one: Fingerprint, other: Fingerprint) -> Likeness:
    """Compare two fingerprints, plain and mirrored, and return the closer match."""
    mirror = Fingerprint(one.signs * _MIRROR, _mirrored(one.thumb[None])[0])
    return max(
        (
            Likeness(_distance(a.signs, other.signs), float(a.thumb @ other.thumb), mirrored)
            for a, mirrored in ((one, False), (mirror, True))
        ),
        key=lambda likeness: (bool(likeness), likeness.correlation),
    )


def alike_pairs(prints: Sequence[Fingerprint]) -> Iterator[tuple[int, int]]:
    """Yield every pair of matching fingerprints, mirrored or not; the search is exhaustive.

    All distances are computed as products of sign matrices, block by block: 15,000 images are
    112 million pairs, each compared twice, and take seconds.

    Yields:
        Pairs of indices, the lower first; a pair that matches both ways is yielded twice.
    """
    if not prints:
        return
    signs = np.stack([each.signs for each in prints])
    thumbs = np.stack([each.thumb for each in prints])
    enough = np.float32(_BITS - 2 * DISTANCE)
    for start in range(0, len(signs), _BLOCK):
        block, small = signs[start : start + _BLOCK], thumbs[start : start + _BLOCK]
        for these, thumb in ((block, small), (block * _MIRROR, _mirrored(small))):
            rows, columns = np.nonzero(these @ signs[start:].T >= enough)
            later = columns > rows
            rows, columns = rows[later], columns[later]
            for first in range(
                0, len(rows), _BLOCK
            ):  # thumbnails only for the remaining candidates
                r, c = rows[first : first + _BLOCK], columns[first : first + _BLOCK]
                alike = np.einsum("ij,ij->i", thumb[r], thumbs[start:][c]) >= LIKENESS
                yield from zip(
                    (r[alike] + start).tolist(), (c[alike] + start).tolist(), strict=True
                )


def grouped(count: int, pairs: Iterator[tuple[int, int]]) -> list[tuple[int, ...]]:
    """Join pairs into groups: whatever matches one member of a group belongs to it.

    Args:
        count: number of items.
        pairs: pairs of indices below `count`.

    Returns:
        The groups of two or more, each in ascending order, in the order of their first items.
    """
    parent = list(range(count))

    def root(item: int) -> int:
        while parent[item] != item:
            parent[item] = item = parent[parent[item]]
        return item

    for one, other in pairs:
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    members: dict[int, list[int]] = {}
    for item in range(count):
        members.setdefault(root(item), []).append(item)
    return [tuple(group) for group in members.values() if len(group) > 1]


def digest(data: bytes) -> bytes:
    """Return a 16-byte digest of a file."""
    return hashlib.blake2b(data, digest_size=16).digest()


def _distance(one: Floats, other: Floats) -> int:
    return int(_BITS - one @ other) // 2


def _mirrored(thumbs: Floats) -> Floats:
    return thumbs.reshape(-1, _THUMB, _THUMB)[:, :, ::-1].reshape(len(thumbs), -1)
