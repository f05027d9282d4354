"""Signal handling and warnings of commands that run until they are stopped."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any


@contextmanager
def stopped_by_signals() -> Iterator[Event]:
    """Yield an event that the first Ctrl-C, SIGTERM or SIGHUP sets; a second one exits immediately.

    SIGHUP comes when the terminal is closed; `nohup` ignores it, and so it stays.
    """
    stop = Event()
    signals = [signal.SIGINT, signal.SIGTERM]
    if (hangup := getattr(signal, "SIGHUP", None)) and signal.getsignal(hangup) != signal.SIG_IGN:
        signals.append(hangup)
    before = {number: signal.getsignal(number) for number in signals}

    def ask(number: int, frame: Any) -> None:
        stop.set()
        for each in signals:
            default = signal.default_int_handler if each == signal.SIGINT else signal.SIG_DFL
            signal.signal(each, default)

    for number in signals:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let the signals that would stop a loop end the command, with 0: it has not begun yet.

    Used inside `stopped_by_signals`, while something may take long to open.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def end(number: int, frame: Any) -> None:
        raise SystemExit(0)

    for number in before:
        signal.signal(number, end)
    try:
        yield
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
