"""Who watches a training run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgecat.data.folder import PictureSet
from edgecat.data.stream import ShardSet
from edgecat.training.history import Epoch


class Watcher:
    """What a run tells while it goes; the command line draws it, others override what they like."""

    def fetching(self, done: int, total: int | None) -> None:
        """So many bytes of the weights to start from are there, of so many where that is known."""

    def on_message(self, sentence: str) -> None:
        """Something worth a line, such as which weights the run starts from."""

    def started(
        self, folder: Path, training: PictureSet | ShardSet, validation: PictureSet
    ) -> None:
        """The pictures are split, the model is built."""

    def epoch_started(self, epoch: int, steps: int, done: int) -> None:
        """Epoch `epoch`, from 1, begins; `done` of its steps were done before an interruption."""

    def stepped(self, pictures: int, loss: Callable[[], float]) -> None:
        """A step of so many pictures is done; `loss()` is the epoch's mean so far."""

    def epoch_finished(self, row: Epoch, *, best: bool) -> None:
        """An epoch is trained and validated."""

    def skipped(self, sentence: str) -> None:
        """A picture could not be decoded; said once for each."""


class Watchers(Watcher):
    """Tells several watchers, in order."""

    def __init__(self, *watchers: Watcher) -> None:
        self._watchers = watchers

    def fetching(self, done: int, total: int | None) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.fetching(done, total)

    def on_message(self, sentence: str) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.on_message(sentence)

    def started(
        self, folder: Path, training: PictureSet | ShardSet, validation: PictureSet
    ) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.started(folder, training, validation)

    def epoch_started(self, epoch: int, steps: int, done: int) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.epoch_started(epoch, steps, done)

    def stepped(self, pictures: int, loss: Callable[[], float]) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.stepped(pictures, loss)

    def epoch_finished(self, row: Epoch, *, best: bool) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.epoch_finished(row, best=best)

    def skipped(self, sentence: str) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.skipped(sentence)
