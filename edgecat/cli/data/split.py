"""`edgecat data split`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgecat.cli.options.common import Json


def split(
    data: Annotated[
        list[Path],
        typer.Argument(help="Folders of class folders, or .tar files with the same layout."),
    ],
    output: Annotated[
        Path,
        typer.Option(help="Folder to create, with class folders in train/, val/ and test/."),
    ],
    val: Annotated[float, typer.Option(help="Fraction of each class for validation.")] = 0.1,
    test: Annotated[float, typer.Option(help="Fraction of each class for testing.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Random seed for the split.")] = 0,
    link: Annotated[
        bool, typer.Option("--link", help="Create symbolic links instead of copies.")
    ] = False,
    json: Json = False,
) -> None:
    """Split images into train/, val/ and test/; duplicates stay together.

    The split is stratified by class and identical on every machine. Images that are already under
    val/ or test/ stay there. Corrupt images are listed and skipped.

    Example: `edgecat data split photos/ --output divided --val 0.1 --test 0.1`
    """
    from edgecat.cli.terminal.console import print_json, progress, say, table, warn
    from edgecat.curation.divide import divide, write_division
    from edgecat.data.folder import scan

    pictures = scan(data)
    with progress(2 * len(pictures), "looking for duplicates") as advance:
        division = divide(pictures, val=val, test=test, seed=seed, on_batch=advance)
        advance(0, "writing")
        write_division(division, output, link=link, on_image=advance)
    for sentence in division.corrupt:
        warn(f"skipped: {sentence}")
    counts = division.counts()
    if json:
        print_json(
            {
                "output": str(output),
                "counts": counts,
                "copies": division.copies,
                "corrupt": list(division.corrupt),
            }
        )
        return
    table(
        ["", *pictures.labels],
        [[side, *(f"{count:,}" for count in row.values())] for side, row in counts.items()],
    )
    say(f"{output}: {division.copies:,} duplicates kept in the same split as their originals")
