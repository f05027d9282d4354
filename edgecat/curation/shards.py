"""Writes images into numbered tar files, in WebDataset's layout.

A shard contains `000123.jpg` and `000123.cls`, the number of its class; `classes.txt` beside
the shards has the class names, one per line, and `index.json` the number of images per shard.
Shards and folders are named after the split: `val-000000.tar` contains `val/000123.jpg`.
Source: https://github.com/webdataset/webdataset.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path, PurePath

import numpy as np

from edgecat.curation.divide import check_output
from edgecat.data.folder import ImageSet, LabelledImage
from edgecat.data.stream import Shard
from edgecat.data.webdataset import CLASSES, INDEX
from edgecat_runtime.errors import UserError
from edgecat_runtime.system.atomic import atomic_folder

_DIGITS = 6


def write_shards(
    pictures: ImageSet,
    output: Path,
    *,
    shard_size: int = 1000,
    seed: int = 0,
    on_image: Callable[[int], None] = lambda pictures: None,
) -> tuple[Shard, ...]:
    """Write shuffled images into shards, atomically: the folder appears only when complete.

    Args:
        pictures: the set from `scan`; the encoded bytes are copied unchanged.
        output: a new or empty folder.
        shard_size: maximum number of images per shard; shards of a split differ by at most one.
        seed: seed of the shuffle.
        on_image: called with 1 after each image.

    Raises:
        UserError: the folder is not empty or cannot be written, or an image disappeared.
    """
    check_output(output)
    if shard_size < 1:
        raise UserError(f"--shard-size is {shard_size}; expected 1 or more images")
    shards = []
    with atomic_folder(output) as temporary:
        for split in sorted({picture.split for picture in pictures.pictures}):
            chosen = pictures.subset(split).pictures
            order = np.random.default_rng(seed).permutation(len(chosen))
            parts = np.array_split(order, -(-len(order) // shard_size))
            first = 0
            for number, part in enumerate(parts):
                name = f"{split or 'shard'}-{number:0{_DIGITS}}.tar"
                with tarfile.open(temporary / name, "w", format=tarfile.USTAR_FORMAT) as archive:
                    for key, index in enumerate(part.tolist(), first):
                        _add(archive, chosen[index], f"{key:0{_DIGITS}}")
                        on_image(1)
                shards.append(Shard(output / name, len(part)))
                first += len(part)
        _describe(temporary, pictures.labels, shards)
    return tuple(shards)


def _add(archive: tarfile.TarFile, picture: LabelledImage, key: str) -> None:
    key = f"{picture.split}/{key}" if picture.split else key
    suffix = PurePath(picture.name).suffix.lower()
    for name, data in ((key + suffix, picture.read()), (key + ".cls", b"%d" % picture.label)):
        member = tarfile.TarInfo(name)
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))


def _describe(folder: Path, labels: tuple[str, ...], shards: Iterable[Shard]) -> None:
    (folder / CLASSES).write_text("".join(f"{label}\n" for label in labels), "utf-8")
    listed = [{"url": shard.name, "nsamples": shard.pictures} for shard in shards]
    index = {"__kind__": "wids-shard-index-v1", "wids_version": 1, "shardlist": listed}
    (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", "utf-8")
