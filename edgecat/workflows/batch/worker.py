"""One worker: one process, one thread, one self-tested classifier."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecat.workflows.batch.reading import Reader
from edgecat.workflows.batch.tasks import Item, Rows, Task
from edgecat.workflows.models import register_torch
from edgecat_runtime.classifier import Classifier
from edgecat_runtime.errors import EdgecatError, UserError
from edgecat_runtime.images import ImageError, decode_image
from edgecat_runtime.system.hashing import file_sha256
from edgecat_runtime.system.opencv import cv2_module
from edgecat_runtime.system.temporaries import scratch_folder
from edgecat_runtime.types import Frames


@dataclass(frozen=True)
class Setup:
    """What a worker needs to start; it travels to other machines.

    Attributes:
        model: path of the model file.
        sha256: of the model file.
        backend: name of the backend, the same for all workers.
        device: likewise.
        batch: images per batch.
        labels: other names for the classes.
        inputs: a few files of the data, with their sizes.
        trust: name and text of the file of trusted keys; None: every model is opened.
        content: the model file's bytes; None: the worker reads `model`.
    """

    model: str
    sha256: str
    backend: str
    device: str
    batch: int
    labels: tuple[str, ...] | None = None
    inputs: tuple[tuple[str, int], ...] = ()
    trust: tuple[str, bytes] | None = None
    content: bytes | None = None


@dataclass(frozen=True)
class Ready:
    """A worker's classifier is open and passed its self-test.

    Attributes:
        host: the machine's name.
        process: the worker's process id.
        missing: an input file that this machine does not see; empty if it sees them.
    """

    host: str
    process: int
    missing: str = ""


@dataclass(frozen=True)
class Failed:
    """The worker is alive, but could not do what was asked.

    Attributes:
        reason: the error in one line.
        error: the exception, if it is one that edgecat foresees.
    """

    reason: str
    error: EdgecatError | None = None

    @classmethod
    def because(cls, error: Exception) -> Failed:
        """Describe an exception."""
        if isinstance(error, EdgecatError):
            return cls(str(error), error)
        return cls(" ".join(f"{type(error).__name__}: {error}".split()))


class Worker:
    """Opens a model and classifies tasks.

    Raises:
        EdgecatError: as `Classifier.open`, or the model file is another one.
    """

    def __init__(self, setup: Setup) -> None:
        cv2_module().setNumThreads(1)
        self._reader = Reader()
        self._batch = setup.batch
        self._open = ExitStack()
        with ExitStack() as stack:
            path, trust = _files(setup, stack)
            register_torch(path)
            self._classifier = stack.enter_context(
                Classifier.open(
                    path,
                    backend=setup.backend,
                    device=setup.device,
                    labels=setup.labels,
                    threads=1,
                    trust=trust,
                )
            )
            self._open = stack.pop_all()
        missing = next((p for p, size in setup.inputs if not _is_there(p, size)), "")
        self.ready = Ready(socket.gethostname(), os.getpid(), missing)

    def run(self, task: Task) -> Rows:
        """Classify the images of a task, batch by batch."""
        contents: Sequence[bytes | str | None] = task.contents or [None] * len(task.items)
        rows: list[tuple[str | None, float | None, float | None, str | None]] = []
        logits = np.zeros((len(task.items), self._classifier.card.classes), np.float32)
        for start in range(0, len(task.items), self._batch):
            places, frames = [], []
            for place in range(start, min(start + self._batch, len(task.items))):
                reason = task.excluded.get(place)
                try:
                    if reason is None:
                        frames.append(self._frame(task.items[place], contents[place]))
                        places.append(place)
                except ImageError as error:
                    reason = str(error)
                rows.append((None, None, None, reason))
            if not frames:
                continue
            logits[places] = self._classifier.infer(np.stack(frames))
            for place in places:
                found = self._classifier.predict(logits[place])
                rows[place] = (found.displayed, found.confidence, found.energy, None)
        labels, confidences, energies, errors = zip(*rows, strict=True)
        return Rows(labels, confidences, energies, logits, errors)

    def _frame(self, item: Item, content: bytes | str | None) -> Frames:
        if isinstance(content, str):
            raise ImageError(content)
        data = self._reader.read(item) if content is None else content
        return self._classifier.preprocess(decode_image(data, item.source))

    def close(self) -> None:
        """Close the classifier."""
        self._open.close()


def _files(setup: Setup, stack: ExitStack) -> tuple[Path, Path | None]:
    """The model and the trusted keys as files of this machine."""
    path = Path(setup.model)
    if setup.content is None:
        if file_sha256(path) != setup.sha256:
            raise UserError(f"{path} changed while it was in use. Run the same command again")
        return path, None  # EDGECAT_TRUST reaches the processes of this machine
    folder = stack.enter_context(scratch_folder())
    path = folder / path.name
    path.write_bytes(setup.content)
    if setup.trust is None:
        return path, None
    keys = folder / setup.trust[0]
    keys.write_bytes(setup.trust[1])
    return path, keys


def _is_there(path: str, size: int) -> bool:
    try:
        return Path(path).stat().st_size == size
    except OSError:
        return False
