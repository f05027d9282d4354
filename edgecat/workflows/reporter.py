"""How a workflow tells how far it is; by default it tells nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

_NAMED = 10


class Advance(Protocol):
    """Moves a piece of work on by some steps, and may say what is done now."""

    def __call__(self, steps: int = 1, description: str | None = None) -> None:
        """Note that so many steps more are done."""
        ...


class Reporter(Protocol):
    """Takes a workflow's progress and warnings; none of them is part of its result.

    Example:
        >>> class Printed(Silent):
        ...     def warn(self, text: str) -> None:
        ...         print("warning:", text)
        >>> Printed().warn("skipped: broken.jpg")
        warning: skipped: broken.jpg
    """

    def progress(self, total: int, description: str) -> AbstractContextManager[Advance]:
        """Begin a long piece of work.

        Args:
            total: number of steps; 0 where it is not known.
            description: what is being done.

        Returns:
            A context that lasts as long as the work, and gives what moves it on.
        """
        ...

    def warn(self, text: str) -> None:
        """Take a warning: something was left out, or may surprise."""
        ...

    def note(self, text: str) -> None:
        """Take a remark for someone who watches."""
        ...


class Silent:
    """A reporter that tells nobody."""

    @contextmanager
    def progress(self, total: int, description: str) -> Iterator[Advance]:
        """Yield what moves nothing."""
        yield lambda steps=1, description=None: None

    def warn(self, text: str) -> None:
        """Drop it."""

    def note(self, text: str) -> None:
        """Drop it."""


SILENT = Silent()


@contextmanager
def steps(reporter: Reporter) -> Iterator[Callable[[str], None]]:
    """A bar for the passes over photographs, whose number is not known beforehand."""
    with reporter.progress(0, "exporting") as advance:
        yield lambda what: advance(1, what)


def warn_skipped(reporter: Reporter, sentences: Sequence[str]) -> None:
    """Warn of files that are no pictures: of the first ten, and how many more there are."""
    for sentence in sentences[:_NAMED]:
        reporter.warn(f"skipped: {sentence}")
    if more := len(sentences[_NAMED:]):
        reporter.warn(f"skipped: {more:,} more files that are no pictures")
