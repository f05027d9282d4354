"""How Ctrl-C and SIGTERM end a training run."""

from __future__ import annotations

import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM while training: all is saved in `folder`, ready to go on.

    Attributes:
        folder: of the run.
        exit_code: what a shell expects of a process that the signal ended.
    """

    def __init__(self, folder: Path, number: int = signal.SIGINT) -> None:
        place = shlex.quote(str(folder))
        super().__init__(f"interrupted; saved. Go on with: edgecat train --resume {place}")
        self.folder = folder
        self.exit_code = 128 + (number or signal.SIGINT)  # 0: it came to another process


@contextmanager
def signals_wait(*, patient: bool = False) -> Iterator[Callable[[], int]]:
    """Only note the first Ctrl-C or SIGTERM; a second one raises KeyboardInterrupt.

    Args:
        patient: note them all: `torchrun` passes on what the terminal has sent already, and ends a
            process that takes too long by itself.

    Yields:
        A function that gives the signal's number once one came, before that 0.
    """
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if came and not patient:
            raise KeyboardInterrupt
        came.append(number)

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
