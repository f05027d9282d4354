"""What other libraries say, made fit for a terminal: it may quote a hostile file."""

from __future__ import annotations

_LONGEST = 600


def one_line(said: object, *, last: bool = False) -> str:
    r"""A line of a message, without control characters.

    Args:
        said: the message, or the error; of an error that says nothing, its class.
        last: whether to take its last line instead of the first.

    Example:
        >>> one_line("cannot read \x1b[2J\nmore")
        'cannot read ?[2J'
    """
    silent = type(said).__name__ if isinstance(said, BaseException) else ""
    lines = [line for line in str(said).strip().splitlines() if line.strip()] or [silent]
    line = lines[-1 if last else 0].strip()[:_LONGEST]
    return "".join(letter if letter.isprintable() else "?" for letter in line)
