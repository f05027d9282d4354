"""Writes pictures into numbered tar files, as WebDataset lays them out.

A shard holds `000123.jpg` and beside it `000123.cls`, the number of its class; `classes.txt` beside
the shards has the classes' names, one a line, and `index.json` how many pictures each shard holds.
Pictures of a split lie in shards and folders of its name: `val-000000.tar` holds `val/000123.jpg`.
Source: https://github.com/webdataset/webdataset.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path, PurePath

import numpy as np

from edgecat.curation.divide import check_output, whole_folder
from edgecat.data.folder import Picture, PictureSet
from edgecat.data.stream import Shard
from edgecat.data.webdataset import CLASSES, INDEX
from edgecat_runtime.errors import UserError

_DIGITS = 6


def write_shards(
    pictures: PictureSet,
    output: Path,
    *,
    shard_size: int = 1000,
    seed: int = 0,
    on_picture: Callable[[int], None] = lambda pictures: None,
) -> tuple[Shard, ...]:
    """Write shuffled pictures into shards; the folder appears whole or not at all.

    Args:
        pictures: what `scan` found; their bytes are copied as they are.
        output: a folder that does not exist yet, or is empty.
        shard_size: pictures a shard, at most; those of a split differ by at most one picture.
        seed: of the order.
        on_picture: called with 1 after each.

    Raises:
        UserError: the folder holds something or cannot be written, or a picture vanished.
    """
    check_output(output)
    if shard_size < 1:
        raise UserError(f"--shard-size is {shard_size}; expected 1 or more pictures")
    shards = []
    with whole_folder(output) as temporary:
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
                        on_picture(1)
                shards.append(Shard(output / name, len(part)))
                first += len(part)
        _describe(temporary, pictures.labels, shards)
    return tuple(shards)


def _add(archive: tarfile.TarFile, picture: Picture, key: str) -> None:
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
