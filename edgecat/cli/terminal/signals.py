"""Signal handling and warnings of commands that run until they are stopped."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any


@contextmanager
def stopped_by_signals() -> Iterator[Event]:
    """Yield an event that the first Ctrl-C or SIGTERM sets; a second one exits immediately."""
    stop = Event()
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}

    def ask(number: int, frame: Any) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    for number in signals:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def warnings_shown() -> Iterator[None]:
    """Print the runtime's warnings, such as a full disk, unless the log shows them."""
    import logging

    from edgecat.cli.terminal.console import warn
    from edgecat.cli.terminal.logs import is_shown

    logger = logging.getLogger("edgecat_runtime")
    if is_shown(logger):
        yield
        return
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: warn(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
