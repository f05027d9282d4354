"""Reads, decodes and fingerprints images, and groups duplicates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from edgecat.curation.fingerprint import Fingerprint, alike_pairs, digest, fingerprint, grouped
from edgecat.data.batches import prefetched
from edgecat.data.folder import LabelledImage
from edgecat_runtime.images import ImageError, decode_image
from edgecat_runtime.system.machine import cores
from edgecat_runtime.types import Image

_CHUNK = 32


@dataclass(frozen=True)
class Inspected:
    """One inspected image.

    Attributes:
        problem: why it is corrupt; empty for a good image, which has all other fields.
        digest: digest of its bytes.
        size: height and width.
        print: its fingerprint.
        frame: the judge's input frame.
    """

    problem: str = ""
    digest: bytes = b""
    size: tuple[int, int] = (0, 0)
    print: Fingerprint | None = None
    frame: Image | None = None


def look(
    pictures: Sequence[LabelledImage], prepare: Callable[[Image], Image] | None = None
) -> Iterator[list[Inspected]]:
    """Read, decode and fingerprint images on all cores, in order, in batches of 32."""
    chunks = (pictures[i : i + _CHUNK] for i in range(0, len(pictures), _CHUNK))
    return prefetched(
        lambda chunk: [_seen(picture, prepare) for picture in chunk],
        chunks,
        workers=cores(),
    )


def same_images(seen: Sequence[Inspected]) -> list[tuple[int, ...]]:
    """Group duplicates: identical bytes, or matching fingerprints."""
    whole = [i for i, one in enumerate(seen) if one.print is not None]
    first: dict[bytes, int] = {}

    def pairs() -> Iterator[tuple[int, int]]:
        for i in whole:
            yield first.setdefault(seen[i].digest, i), i
        prints = [(i, seen[i].print) for i in first.values()]  # each file's bytes once
        known = [each for _, each in prints if each is not None]
        for a, b in alike_pairs(known):
            yield prints[a][0], prints[b][0]

    return grouped(len(seen), pairs())


def _seen(picture: LabelledImage, prepare: Callable[[Image], Image] | None) -> Inspected:
    try:
        data = picture.read()
        image = decode_image(data, picture.name)
    except ImageError as error:
        return Inspected(str(error))
    frame = None if prepare is None else prepare(image)
    return Inspected("", digest(data), image.shape[:2], fingerprint(image), frame)
