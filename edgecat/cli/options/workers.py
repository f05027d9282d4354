"""Options of the commands that classify with many workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgecat.workflows.batch.placement import Workers

BATCH = "Many images"

On = Annotated[
    str | None,
    typer.Option(
        metavar="WHERE",
        help="Where the workers run: local (processes of this machine), ray (this machine's Ray "
        "cluster, else one started for the run) or ray://HOST:PORT.",
        show_default=False,
        rich_help_panel=BATCH,
    ),
]
WorkerCount = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        help="Number of workers, one thread each (default: one per core, here or in the cluster).",
        show_default=False,
        rich_help_panel=BATCH,
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch",
        min=1,
        help="Images per batch (default: the fastest for the model, measured once).",
        show_default=False,
        rich_help_panel=BATCH,
    ),
]


def workers_given(on: str | None, count: int | None, batch: int | None = None) -> Workers:
    """The workers that the options describe.

    Raises:
        UserError: `--on` is not one of the places.
    """
    from edgecat.workflows.batch.placement import LOCAL, Workers

    return Workers(LOCAL if on is None else on, count, batch)
