"""What the commands share on the terminal: progress, tables and JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

from edgecat.workflows.reporter import Advance


@contextmanager
def progress(total: int, description: str) -> Iterator[Advance]:
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
    from rich import progress as rich_progress
    from rich.console import Console

    bar = rich_progress.Progress(
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task(description, total=total)
        yield lambda steps=1, description=None: bar.update(
            task, advance=steps, **({"description": description} if description else {})
        )


def say(text: str = "") -> None:
    """Print a line for a person on standard output."""
    print(text)  # noqa: T201


def warn(text: str) -> None:
    """Print a line on standard error, if anyone still reads it."""
    with suppress(OSError):
        print(text, file=sys.stderr)  # noqa: T201


class Terminal:
    """Shows what a workflow reports, on standard error."""

    def progress(self, total: int, description: str) -> AbstractContextManager[Advance]:
        """Show a bar; see `progress`."""
        return progress(total, description)

    def warn(self, text: str) -> None:
        """Print a line."""
        warn(text)

    def note(self, text: str) -> None:
        """Print a line, where someone reads it."""
        if sys.stderr.isatty():
            warn(text)


TERMINAL = Terminal()


def print_json(value: Any) -> None:
    """Print `value` as the only thing on standard output."""
    say(json_text(value))


def json_text(value: Any) -> str:
    """Return `value` as JSON that the encoding of the standard output can take."""
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    return json.dumps(value, ensure_ascii=not unicode, indent=2)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print an aligned table: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    for row in (header, *rows):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        say("  ".join(cells).rstrip())
