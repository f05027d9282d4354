"""What the commands share on the terminal: progress, tables and JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def progress(total: int, description: str) -> Iterator[Callable[..., None]]:
    """Show a bar on standard error while a long piece of work runs; silent without a terminal.

    Args:
        total: number of steps.
        description: what is being done.

    Yields:
        `advance(steps=1, description=None)`.
    """
    if not sys.stderr.isatty():
        yield lambda steps=1, description=None: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *(TextColumn(c) if isinstance(c, str) else c for c in columns),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task(description, total=total)
        yield lambda steps=1, description=None: bar.update(
            task, advance=steps, **({"description": description} if description else {})
        )


def say(text: str = "") -> None:
    """Print a line for a person on standard output."""
    print(text)  # noqa: T201


def warn(text: str) -> None:
    """Print a line on standard error."""
    print(text, file=sys.stderr)  # noqa: T201


def print_json(value: Any) -> None:
    """Print `value` as the only thing on standard output."""
    say(json.dumps(value, ensure_ascii=False, indent=2))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print an aligned table: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    for row in (header, *rows):
        cells = [row[0].ljust(widths[0])]
        say(
            "  ".join(
                cells + [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
            ).rstrip()
        )
