"""Fields of JSON objects from elsewhere: present, of the right type, within bounds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

_MOST_DIGITS = 20


class Fields:
    """A JSON object whose fields are checked as they are read; unknown ones are ignored.

    Args:
        content: the object.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._content = content

    def __getitem__(self, name: str) -> Any:
        if name not in self._content:
            raise ValueError(f"{name} is missing")
        return self._content[name]

    def integer(self, name: str, least: int, most: int) -> int:
        """An integer from `least` to `most`; raises ValueError."""
        value = self[name]
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"{name} is not an integer from {least} to {most}")
        return value

    def number(self, name: str) -> float:
        """A finite number; raises ValueError."""
        value = self[name]
        if type(value) not in (int, float) or not abs(value) < float("inf"):
            raise ValueError(f"{name} is not a number")
        return float(value)

    def line(self, name: str, longest: int) -> str:
        """A text of printable characters; raises ValueError."""
        value = self[name]
        if not isinstance(value, str) or len(value) > longest or not value.isprintable():
            raise ValueError(f"{name} is not a line of at most {longest} characters")
        return value

    def text(self, name: str, pattern: re.Pattern[str], *, empty: bool = False) -> str:
        """A text that matches as a whole, or is empty if that is allowed; raises ValueError."""
        value = self[name]
        if not isinstance(value, str) or not (pattern.fullmatch(value) or (empty and not value)):
            raise ValueError(f"{name} does not match {pattern.pattern}")
        return value

    def objects(self, name: str, most: int) -> list[Mapping[str, Any]]:
        """A list of one to `most` objects; raises ValueError."""
        value = self[name]
        if not isinstance(value, list) or not 1 <= len(value) <= most:
            raise ValueError(f"{name} is not a list of 1 to {most}")
        if not all(isinstance(one, dict) for one in value):
            raise ValueError(f"{name} holds something other than objects")
        return value


def unique_keys(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A hook of `json.loads`: readers differ in which of two equal keys they take."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key occurs twice")
    return found


def not_an_integer(text: str) -> float:
    """A hook of `json.loads` that refuses every number that is not an integer."""
    raise ValueError(f"{text} is not an integer")


def short_integer(text: str) -> int:
    """A hook of `json.loads`: to read a million digits would take minutes."""
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"an integer has {len(text)} digits")
    return int(text)
