"""A run's folder, who watches it, and how Ctrl-C and SIGTERM end it."""

from __future__ import annotations

import hashlib
import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType

from edgecat.data.folder import PictureSet
from edgecat.data.stream import ShardSet
from edgecat.training.config import TrainConfig
from edgecat.training.history import Epoch, Evaluation
from edgecat_runtime.errors import UserError
from edgecat_runtime.system.atomic import write_error

STATE = "resume.state"
CONFIG = "config.json"
METRICS = "metrics.csv"
CURVES = "curves.png"
CONFUSION = "confusion.png"


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


class Watcher:
    """What a run tells while it goes; the command line draws it, others override what they like."""

    def fetching(self, done: int, total: int | None) -> None:
        """So many bytes of the weights to start from are there, of so many where that is known."""

    def told(self, sentence: str) -> None:
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

    def told(self, sentence: str) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.told(sentence)

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


@dataclass(frozen=True)
class TrainResult:
    """What a run gave.

    Attributes:
        folder: the run's folder.
        checkpoint: the best epoch's checkpoint.
        best: the best epoch.
        history: every epoch.
        evaluation: the checkpoint's answers to the validation pictures.
        skipped: a sentence for each file that is no picture or could not be decoded.
    """

    folder: Path
    checkpoint: Path
    best: Epoch
    history: tuple[Epoch, ...]
    evaluation: Evaluation
    skipped: tuple[str, ...]


def new_folder(config: TrainConfig) -> Path:
    """Make the folder of a new run.

    Raises:
        UserError: a run of that name exists, or it cannot be made.
    """
    name = config.name or f"{config.arch}-{datetime.now():%Y%m%d-%H%M%S}"
    folder = Path(config.output) / name
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        place = shlex.quote(str(folder))
        raise UserError(
            f"{folder} exists. Choose another --name, or go on with --resume {place}"
        ) from error
    except OSError as error:
        raise write_error(folder, error) from error
    return folder


def read_config(folder: Path) -> TrainConfig:
    """Read the configuration of the run in `folder`.

    Raises:
        UserError: there is no run.
    """
    path = folder / CONFIG
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{folder} is no run of edgecat train: {CONFIG} cannot be read. "
            "Give the folder of an interrupted run, such as runs/vgg16-20261123-184500"
        ) from error
    return TrainConfig.from_json(text, str(path))


def digest_of(*parts: PictureSet | ShardSet) -> str:
    """SHA-256 over the pictures' names, sizes and labels, or the shards', in order."""
    hashed = hashlib.sha256()
    for part in parts:
        for key in part.keys():  # noqa: SIM118 - no mapping
            hashed.update(key.encode())
        hashed.update(b"\1")
    return hashed.hexdigest()


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
