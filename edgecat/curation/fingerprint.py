"""Image fingerprints that find duplicates, even re-encoded, resized, mirrored or relit ones.

A perceptual hash by the discrete cosine transform (Zauner, Implementation and Benchmarking of
Perceptual Image Hash Functions, 2010, https://www.phash.org/docs/pubs/thesis_zauner.pdf): the
signs of the 64 lowest frequencies of a 32 x 32 grey image. Mirroring changes only the signs of the
odd horizontal frequencies. Candidates are confirmed by comparing small thumbnails, their edges and
their colours: thumbnails alone are alike for all that is drawn on a flat ground, or shown to a
fixed camera.
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
TINTS = 0.75  # minimum correlation of the colours
EDGES = 0.7  # minimum correlation of the edges
FLAT_EDGES = 0.8  # likewise, where most of both images is flat

_SIDE, _THUMB, _BITS = 32, 16, 64
_FLAT, _LEVEL = 0.5, 1.0  # flat: of more than this fraction, a blur changes fewer grey levels
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
        edges: float32 (1024,) of norm 1, what a blur takes from a 32 x 32 grey thumbnail; None if
            that is next to nothing.
        tints: float32 (2, 256) of norm 1, the colour differences of the 16 x 16 thumbnail; None if
            the image is grey.
        flat: whether most of the image is flat, as in drawings.
    """

    signs: Floats
    thumb: Floats
    edges: Floats | None = None
    tints: Floats | None = None
    flat: bool = False


@dataclass(frozen=True)
class Likeness:
    """The similarity of two images.

    Attributes:
        distance: Hamming distance of their hashes, 0..64.
        correlation: of their thumbnails, -1..1.
        mirrored: whether one image was mirrored for this comparison.
        detail: whether the edges and the colours are alike, as far as both images have them.
    """

    distance: int
    correlation: float
    mirrored: bool
    detail: bool = True

    def __bool__(self) -> bool:
        """Whether all measures are within their limits, so the images count as duplicates."""
        return self.distance <= DISTANCE and self.correlation >= LIKENESS and self.detail


def fingerprint(image: NDArray[np.uint8]) -> Fingerprint:
    """Compute the fingerprint of an image.

    Args:
        image: uint8 (h, w, 3), BGR; the aspect ratio is ignored.
    """
    cv2 = cv2_module()
    small = shrink(image, _SIDE, _SIDE)
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32)
    signs = np.where(cv2.dct(grey)[_Y, _X] > 0, np.float32(1), np.float32(-1))
    thumb = grey.reshape(_THUMB, 2, _THUMB, 2).mean((1, 3)).ravel()
    thumb -= thumb.mean()
    length = float(np.linalg.norm(thumb))
    thumb = thumb / length if length > 1 else np.zeros_like(thumb)
    edges, flat = _edges(grey)
    return Fingerprint(signs, thumb, edges, _tints(small), flat)


def compared(one: Fingerprint, other: Fingerprint) -> Likeness:
    """Compare two fingerprints, plain and mirrored, and return the closer match."""
    mirror = Fingerprint(one.signs * _MIRROR, _mirrored(one.thumb[None])[0])
    return max(
        (
            Likeness(
                _distance(a.signs, other.signs),
                float(a.thumb @ other.thumb),
                mirrored,
                _detail(one, other, mirrored=mirrored),
            )
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
        for mirrored in (False, True):
            these = block * _MIRROR if mirrored else block
            thumb = _mirrored(small) if mirrored else small
            rows, columns = np.nonzero(these @ signs[start:].T >= enough)
            later = columns > rows
            rows, columns = rows[later], columns[later]
            for first in range(
                0, len(rows), _BLOCK
            ):  # thumbnails only for the remaining candidates
                r, c = rows[first : first + _BLOCK], columns[first : first + _BLOCK]
                alike = np.einsum("ij,ij->i", thumb[r], thumbs[start:][c]) >= LIKENESS
                for i, j in zip(r[alike] + start, c[alike] + start, strict=True):
                    if _detail(prints[i], prints[j], mirrored=mirrored):
                        yield int(i), int(j)


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


def _edges(grey: Floats) -> tuple[Floats | None, bool]:
    """What a blur takes, and whether that is little for most of the image."""
    fine = (grey - cv2_module().GaussianBlur(grey, (0, 0), 1)).ravel().astype(np.float32)
    length = float(np.linalg.norm(fine))
    flat = bool(np.mean(np.abs(fine) < _LEVEL) >= _FLAT)
    return fine / length if length > 1 else None, flat


def _tints(small: NDArray[np.uint8]) -> Floats | None:
    colours = cv2_module().cvtColor(small, cv2_module().COLOR_BGR2YCrCb)[..., 1:]
    means = colours.reshape(_THUMB, 2, _THUMB, 2, 2).mean((1, 3), dtype=np.float32) - 128
    if np.abs(means).mean() < _LEVEL:
        return None
    tints: Floats = means.transpose(2, 0, 1).reshape(2, -1) / np.linalg.norm(means)
    return tints.astype(np.float32)


def _detail(one: Fingerprint, other: Fingerprint, *, mirrored: bool) -> bool:
    """Whether the edges and the colours are alike; what either image lacks is not compared."""
    if one.edges is not None and other.edges is not None:
        edges = one.edges.reshape(_SIDE, _SIDE)
        likeness = (edges[:, ::-1] if mirrored else edges).ravel() @ other.edges
        if likeness < (FLAT_EDGES if one.flat and other.flat else EDGES):
            return False
    if one.tints is not None and other.tints is not None:
        tints = _mirrored(one.tints) if mirrored else one.tints
        return bool(tints.ravel() @ other.tints.ravel() >= TINTS)
    return True


def _mirrored(thumbs: Floats) -> Floats:
    return thumbs.reshape(-1, _THUMB, _THUMB)[:, :, ::-1].reshape(len(thumbs), -1)
