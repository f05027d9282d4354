"""Ctrl-C and SIGTERM end a training run in an orderly way."""

from __future__ import annotations

import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

_AGAIN = "; Ctrl-C again ends at once, without"


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM while training: everything is saved in `folder`, ready to be resumed.

    Attributes:
        folder: of the run.
        exit_code: the one that shells expect of a process ended by the signal.
    """

    def __init__(self, folder: Path, number: int = signal.SIGINT) -> None:
        place = shlex.quote(str(folder))
        super().__init__(f"interrupted; saved. Continue with: edgecat train --resume {place}")
        self.folder = folder
        self.exit_code = 128 + (number or signal.SIGINT)  # 0: another process received it


@contextmanager
def signals_wait(
    *, patient: bool = False, tell: Callable[[str], None] = lambda sentence: None
) -> Iterator[Callable[[], int]]:
    """Record the first Ctrl-C or SIGTERM; a second one raises KeyboardInterrupt.

    Args:
        patient: record all of them: `torchrun` forwards signals that the terminal has already sent,
            and itself kills a process that takes too long.
        tell: called at the first one with what happens next.

    Yields:
        A function that returns the number of the first signal, or 0 before it.
    """
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if came and not patient:
            raise KeyboardInterrupt
        came.append(number)
        with suppress(RuntimeError):  # a stream that is being written to at this moment
            tell("stopping after this step, and saving" + ("" if patient else _AGAIN))

    def number() -> int:
        return came[0] if came else 0

    if threading.current_thread() is not threading.main_thread():
        yield number
        return
    before = {each: signal.signal(each, note) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield number
    finally:
        for each, handler in before.items():
            signal.signal(each, handler or signal.SIG_DFL)
