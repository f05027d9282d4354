"""`edgecat data split`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgecat.cli.options.common import Json


def split(
    data: Annotated[
        list[Path], typer.Argument(help="Folders of class folders, or .tar files with the same.")
    ],
    output: Annotated[
        Path, typer.Option(help="A new folder: train/, val/ and test/ with the classes inside.")
    ],
    val: Annotated[float, typer.Option(help="Share of each class to choose a model by.")] = 0.1,
    test: Annotated[float, typer.Option(help="Share of each class to judge it by.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Another seed, another division.")] = 0,
    link: Annotated[
        bool, typer.Option("--link", help="Make symbolic links in place of copies.")
    ] = False,
    json: Json = False,
) -> None:
    """Divide pictures into train/, val/ and test/; copies of one picture stay together.

    Each class is divided alike, and the same on every machine. What lies under val/ or test/
    already stays there. Corrupt pictures are named and left out.

    Example: `edgecat data split photos/ --output divided --val 0.1 --test 0.1`
    """
    from edgecat.cli.terminal.console import print_json, progress, say, table, warn
    from edgecat.curation.divide import divide, write_division
    from edgecat.data.folder import scan

    pictures = scan(data)
    with progress(2 * len(pictures), "looking for copies") as advance:
        division = divide(pictures, val=val, test=test, seed=seed, on_batch=advance)
        advance(0, "writing")
        write_division(division, output, link=link, on_picture=advance)
    for sentence in division.corrupt:
        warn(f"left out: {sentence}")
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
    say(f"{output}: {division.copies:,} copies kept on the side of what they are copies of")
