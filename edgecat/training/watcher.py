"""Callbacks that receive a training run's progress."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgecat.data.folder import ImageSet
from edgecat.data.stream import ShardSet
from edgecat.training.history import Epoch


class Watcher:
    """Receives a run's progress; override what you need, as the command line does.

    Example:
        >>> class Losses(Watcher):
        ...     def epoch_finished(self, row, *, best):
        ...         print(row.epoch, row.train_loss)
    """

    def fetching(self, done: int, total: int | None) -> None:
        """`done` bytes of the initial weights are downloaded, of `total` if that is known."""

    def on_message(self, sentence: str) -> None:
        """A message to show, such as which weights the run starts from."""

    def started(self, folder: Path, training: ImageSet | ShardSet, validation: ImageSet) -> None:
        """The images are split and the model is built."""

    def epoch_started(self, epoch: int, steps: int, done: int) -> None:
        """Epoch `epoch`, from 1, begins; `done` of its steps were done before an interruption."""

    def stepped(self, images: int, loss: Callable[[], float]) -> None:
        """A step over `images` images is done; `loss()` is the epoch's mean so far."""

    def epoch_finished(self, row: Epoch, *, best: bool) -> None:
        """An epoch is trained and validated."""

    def skipped(self, sentence: str) -> None:
        """An image could not be decoded; called once per image."""


class Watchers(Watcher):
    """Passes everything on to several watchers, in order."""

    def __init__(self, *watchers: Watcher) -> None:
        self._watchers = watchers

    def fetching(self, done: int, total: int | None) -> None:
        """Forward to every watcher."""
        for watcher in self._watchers:
            watcher.fetching(done, total)

    def on_message(self, sentence: str) -> None:
        """Forward to every watcher."""
        for watcher in self._watchers:
            watcher.on_message(sentence)

    def started(self, folder: Path, training: ImageSet | ShardSet, validation: ImageSet) -> None:
        """Forward to every watcher."""
        for watcher in self._watchers:
            watcher.started(folder, training, validation)

    def epoch_started(self, epoch: int, steps: int, done: int) -> None:
        """Forward to every watcher."""
        for watcher in self._watchers:
            watcher.epoch_started(epoch, steps, done)

    def stepped(self, images: int, loss: Callable[[], float]) -> None:
        """Forward to every watcher."""
        for watcher in self._watchers:
            watcher.stepped(images, loss)

    def epoch_finished(self, row: Epoch, *, best: bool) -> None:
        """Forward to every watcher."""
        for watcher in self._watchers:
            watcher.epoch_finished(row, best=best)

    def skipped(self, sentence: str) -> None:
        """Forward to every watcher."""
        for watcher in self._watchers:
            watcher.skipped(sentence)
