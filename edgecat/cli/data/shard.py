"""`edgecat data shard`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgecat.cli.options.common import Json


def shard(
    data: Annotated[
        list[Path], typer.Argument(help="Folders of class folders, or .tar files with the same.")
    ],
    output: Annotated[Path, typer.Option(help="A new folder for the shards.")],
    shard_size: Annotated[int, typer.Option(help="Pictures a shard, at most.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the order.")] = 0,
    json: Json = False,
) -> None:
    """Pack pictures, shuffled, into numbered tar files in WebDataset's layout.

    Few large files are read faster than many small ones, and machines can share them out. Beside
    the shards lie classes.txt and index.json. Pictures under train/, val/ or test/ get shards of
    that name.

    Example: `edgecat data shard photos/ --output shards`, then `edgecat train shards`
    """
    from edgecat.cli.terminal.console import print_json, progress, say, warn
    from edgecat.curation.shards import write_shards
    from edgecat.data.folder import scan

    pictures = scan(data)
    for sentence in pictures.skipped:
        warn(f"left out: {sentence}")
    with progress(len(pictures), "writing") as advance:
        shards = write_shards(
            pictures, output, shard_size=shard_size, seed=seed, on_picture=advance
        )
    if json:
        sizes = {one.name: one.pictures for one in shards}
        print_json({"output": str(output), "shards": sizes, "counts": pictures.counts()})
        return
    say(f"{output}: {pictures} in {len(shards):,} shard{'s' * (len(shards) > 1)}")
