"""Loops that are still open when the program ends."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from functools import wraps
from typing import Any, TypeVar
from weakref import WeakSet

_Self = TypeVar("_Self")
_Item = TypeVar("_Item")

_open: WeakSet[Generator[Any, None, None]] = WeakSet()


def closed_at_exit(
    iterate: Callable[[_Self], Iterator[_Item]],
) -> Callable[[_Self], Iterator[_Item]]:
    """Decorate a generator method: what it holds open is closed when the program ends.

    Otherwise its outputs would stay unfinished, and a thread of one that is in C++ when Python ends
    aborts the program.
    """

    @wraps(iterate)
    def registered(self: _Self) -> Iterator[_Item]:
        iterator = iterate(self)
        if isinstance(iterator, Generator):
            _open.add(iterator)
        return iterator

    return registered


@atexit.register
def _close_all() -> None:
    for iterator in list(_open):
        with suppress(ValueError):  # it is running, in another thread
            iterator.close()
