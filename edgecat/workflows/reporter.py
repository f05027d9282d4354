"""How a workflow reports progress; silent by default."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

_NAMED = 10


class Advance(Protocol):
    """Advances the progress by some steps and may change its description."""

    def __call__(self, steps: int = 1, description: str | None = None) -> None:
        """Record this many further steps."""
        ...


class Reporter(Protocol):
    """Receives a workflow's progress and warnings, which are not part of its result."""

    def progress(self, total: int, description: str) -> AbstractContextManager[Advance]:
        """Start long work.

        Args:
            total: number of steps; 0 if unknown.
            description: the current activity.

        Returns:
            A context for the duration of the work, which yields the function to advance it.
        """
        ...

    def warn(self, text: str) -> None:
        """Receive a warning: something was skipped, or may be unexpected."""
        ...

    def note(self, text: str) -> None:
        """Receive a note for a person who is watching."""
        ...


class Silent:
    """A reporter that discards everything."""

    @contextmanager
    def progress(self, total: int, description: str) -> Iterator[Advance]:
        """Yield a function that does nothing."""
        yield lambda steps=1, description=None: None

    def warn(self, text: str) -> None:
        """Discard it."""

    def note(self, text: str) -> None:
        """Discard it."""


SILENT = Silent()


def warn_skipped(reporter: Reporter, sentences: Sequence[str]) -> None:
    """Warn of files that are not images: the first ten by name, and how many more."""
    for sentence in sentences[:_NAMED]:
        reporter.warn(f"skipped: {sentence}")
    if more := len(sentences[_NAMED:]):
        reporter.warn(f"skipped: {more:,} more files that are not images")
