"""Progress reports from TensorRT's builder, and Ctrl-C passed to it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Progress = Callable[[str], None]


def monitor_for(trt: Any, progress: Progress | None) -> Any:
    """Create an `IProgressMonitor`.

    Args:
        trt: TensorRT's module.
        progress: called with the builder's phase and step. An exception from it stops the build
            and is raised by `watched`: an exception must not unwind through C++.
    """

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # its base class is known only at run time
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.failure: BaseException | None = None
            self.steps: dict[str, int] = {}

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            self.steps[phase] = steps

        def step_complete(self, phase: str, step: int) -> bool:
            try:
                if progress and self.failure is None:
                    total = self.steps.get(phase, step + 1)
                    progress(f"{phase} {min(step + 1, total)}/{total}")
            except BaseException as error:
                self.failure = error
            return self.failure is None

        def phase_finish(self, phase: str) -> None:
            self.steps.pop(phase, None)

    return Monitor()


@contextmanager
def watched(monitor: Any) -> Iterator[None]:
    """Let Ctrl-C cancel the build at its next step instead of unwinding through C++.

    Raises:
        KeyboardInterrupt: it did.
        Exception: raised by the progress function.
    """

    def cancel(*_: object) -> None:
        monitor.failure = KeyboardInterrupt()

    main = threading.current_thread() is threading.main_thread()
    previous = signal.signal(signal.SIGINT, cancel) if main else None
    try:
        yield
    finally:
        if main:
            signal.signal(signal.SIGINT, previous)
    if monitor.failure is not None:
        raise monitor.failure
