"""Terminal output shared by the commands: progress, tables and JSON."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecat.workflows.reporter import Advance

if TYPE_CHECKING:
    from edgecat.workflows.served import ServedModel
    from edgecat_runtime.model.card import ModelCard


@contextmanager
def progress(total: int, description: str) -> Iterator[Advance]:
    """Show a progress bar on standard error during long work; silent without a terminal.

    Args:
        total: number of steps.
        description: the current activity.

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
    """Shows what a workflow reports, on standard error.

    Example:
        >>> edgecat.evaluate("vgg16.onnx", "photos/", reporter=Terminal())  # doctest: +SKIP
    """

    def progress(self, total: int, description: str) -> AbstractContextManager[Advance]:
        """Show a progress bar; see `progress`."""
        return progress(total, description)

    def warn(self, text: str) -> None:
        """Print a line."""
        warn(text)

    def note(self, text: str) -> None:
        """Print a line if a person is watching."""
        if sys.stderr.isatty():
            warn(text)


TERMINAL = Terminal()


def note_model(card: ModelCard, path: Path, device: str) -> ServedModel:
    """Note which checkpoint is looked into, if a person is watching, and return its facts."""
    from edgecat.workflows.served import ServedModel

    served = ServedModel.of(card, path, "torch", device)
    TERMINAL.note(f"model: {served}")
    return served


def print_json(value: Any) -> None:
    """Print `value` as the only thing on standard output."""
    say(json_text(value))


def json_text(value: Any) -> str:
    """Return `value` as JSON that the encoding of the standard output can take."""
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    return json.dumps(value, ensure_ascii=not unicode, indent=2)


def json_line(value: Any) -> str:
    """Return `value` as one line of JSON that the encoding of the standard output can take."""
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    return json.dumps(value, ensure_ascii=not unicode)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print an aligned table: the first column left-aligned, the others right-aligned."""
    widths = [max(_width(row[i]) for row in (header, *rows)) for i in range(len(header))]
    for row in (header, *rows):
        gaps = [" " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)]
        cells = [
            row[0] + gaps[0],
            *(gap + cell for gap, cell in zip(gaps[1:], row[1:], strict=True)),
        ]
        say("  ".join(cells).rstrip())


def _width(text: str) -> int:
    """Columns of a terminal that a text takes: two for each wide character, such as Hangul."""
    return sum(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text)
