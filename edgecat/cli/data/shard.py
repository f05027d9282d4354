"""`edgecat data shard`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgecat.cli.options.common import Json


def shard(
    data: Annotated[
        list[Path],
        typer.Argument(help="Folders of class folders, or .tar files with the same layout."),
    ],
    output: Annotated[Path, typer.Option(help="Folder to create for the shards.")],
    shard_size: Annotated[int, typer.Option(help="Maximum number of images per shard.")] = 1000,
    seed: Annotated[int, typer.Option(help="Random seed for shuffling.")] = 0,
    json: Json = False,
) -> None:
    """Pack images, shuffled, into numbered .tar shards in the WebDataset format.

    A few large files are read faster than many small ones and can be distributed across machines.
    The folder also receives classes.txt and index.json. Images under train/, val/ or test/ go into
    shards of that name.

    Example: `edgecat data shard photos/ --output shards`, then `edgecat train shards`
    """
    from edgecat.cli.terminal.console import print_json, progress, say, warn
    from edgecat.curation.shards import write_shards
    from edgecat.data.folder import scan

    pictures = scan(data)
    for sentence in pictures.skipped:
        warn(f"skipped: {sentence}")
    with progress(len(pictures), "writing") as advance:
        shards = write_shards(pictures, output, shard_size=shard_size, seed=seed, on_image=advance)
    if json:
        sizes = {one.name: one.pictures for one in shards}
        print_json({"output": str(output), "shards": sizes, "counts": pictures.counts()})
        return
    say(f"{output}: {pictures} in {len(shards):,} shard{'s' * (len(shards) > 1)}")
