"""Terminal output of `edgecat train`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from edgecat.cli.terminal.console import TERMINAL, progress, say, warn
from edgecat.cli.terminal.downloading import download_bar
from edgecat.data.folder import ImageSet
from edgecat.data.stream import ShardSet
from edgecat.download import Progress
from edgecat.training.history import Epoch
from edgecat.training.start import cautions
from edgecat.training.watcher import Watcher
from edgecat.workflows.reporter import warn_skipped

_REFRESH = 0.25
_WAITING = 0.1


class EpochLines(Watcher):
    """A progress bar for the current epoch, with loss and images/s, and a line per finished epoch.

    Args:
        epochs: number of epochs of the whole run.
        silent: print no lines: standard output is reserved for JSON.
        remedy: advice if other programs keep the cores busy; empty: no warning.
        advises: warn of classes with few images and of uneven ones.
    """

    def __init__(
        self,
        epochs: int,
        *,
        silent: bool = False,
        remedy: str = "close other programs",
        advises: bool = False,
    ) -> None:
        self._advises = advises
        self._epochs = epochs
        self._busy = busy(remedy) if remedy else ""
        self._say: Callable[[str], None] = (lambda text: None) if silent else say
        self._stack = ExitStack()
        self._fetching: Progress | None = None
        self._advance: Callable[..., None] = lambda steps=1, description=None: None
        self._epoch = self._pictures = 0
        self._started = self._shown = 0.0

    def __enter__(self) -> EpochLines:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def fetching(self, done: int, total: int | None) -> None:
        """Show the progress of the download."""
        if self._fetching is None:
            self._fetching = self._stack.enter_context(download_bar("fetching the weights"))
        self._fetching(done, total)

    def on_message(self, sentence: str) -> None:
        """Print a line."""
        self._stack.close()
        self._say(sentence)

    def started(self, folder: Path, training: ImageSet | ShardSet, validation: ImageSet) -> None:
        """Print the training and the validation data."""
        self._say(f"training on {training}")
        self._say(f"validating on {replace(validation, skipped=())}")
        warn_skipped(TERMINAL, training.skipped)
        if self._advises and isinstance(training, ImageSet):
            for caution in cautions(training.counts()):
                warn(caution)
        if self._busy:
            warn(self._busy)
        self._say(f"writing to {folder}")
        sys.stdout.flush()

    def epoch_started(self, epoch: int, steps: int, done: int) -> None:
        """Open the epoch's progress bar."""
        self._epoch, self._pictures, self._started = epoch, 0, time.perf_counter()
        title = f"epoch {epoch}/{self._epochs}"
        self._advance = self._stack.enter_context(progress(steps, title))
        self._advance(done)

    def stepped(self, pictures: int, loss: Callable[[], float]) -> None:
        """Advance the bar; update loss and speed four times a second."""
        self._pictures += pictures
        now = time.perf_counter()
        if now - self._shown < _REFRESH or not sys.stderr.isatty():
            self._advance()
            return
        self._shown = now
        speed = self._pictures / (now - self._started)
        self._advance(1, f"epoch {self._epoch}/{self._epochs}  loss {loss():.3f}  {_rate(speed)}")

    def epoch_finished(self, row: Epoch, *, best: bool) -> None:
        """Close the bar and print the epoch's line."""
        self._stack.close()
        self._say(
            f"epoch {row.epoch:>3}/{self._epochs}  loss {row.train_loss:.3f}  "
            f"accuracy {row.train_accuracy:6.2%}  validation {row.val_accuracy:6.2%}"
            f"{' *' if best else '  '}  {_rate(row.images_per_second)}  {row.seconds:.0f} s"
            + (f"  data wait {row.data_wait:.0%}" if row.data_wait >= _WAITING else "")
        )
        sys.stdout.flush()

    def skipped(self, sentence: str) -> None:
        """Report an image that could not be decoded."""
        warn(f"skipped: {sentence}")


def _rate(images_per_second: float) -> str:
    digits = 0 if images_per_second >= 10 else 1
    return f"{images_per_second:.{digits}f} images/s"


def busy(remedy: str) -> str:
    """A warning if other programs keep the cores busy; empty if not, or if the load is unknown.

    The threads of an operator wait for one another: one thread without a core stalls all of them.
    """
    cores = os.cpu_count() or 1
    try:
        load = os.getloadavg()[0]
    except (AttributeError, OSError):
        return ""
    if cores < 2 or load <= cores / 2:
        return ""
    return (
        f"the load average of the last minute is {load:.1f} on {cores} cores: with other programs "
        f"running, training may be many times slower; {remedy}"
    )
