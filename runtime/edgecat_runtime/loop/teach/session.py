"""One session of teaching: what the page shows and asks for, whoever asks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from edgecat_runtime.errors import EdgecatError, UserError
from edgecat_runtime.images import decode_image
from edgecat_runtime.loop.answers import Answer
from edgecat_runtime.loop.teach.bursts import PAUSE
from edgecat_runtime.loop.teach.captures import Capture
from edgecat_runtime.loop.teach.classifier import TaughtClassifier
from edgecat_runtime.loop.teach.exchange import Exchange
from edgecat_runtime.loop.teach.learner import Learner
from edgecat_runtime.loop.teach.store import NONE, Store
from edgecat_runtime.model.preprocess import shrink
from edgecat_runtime.types import Image

LARGEST = 1600
"""Longer side in pixels of an uploaded image that is kept; a larger one is scaled down."""


class Trainer(Protocol):
    """Fine-tunes a model on a session's images, in a process of its own."""

    def start(self) -> None:
        """Begin a run; raises UserError if that is not possible."""
        ...

    def resume(self) -> None:
        """Continue a stopped run; raises UserError if there is none."""
        ...

    def stop(self) -> None:
        """Stop the run; it can be resumed."""
        ...

    def state(self) -> dict[str, Any]:
        """Where it stands, JSON-ready: at least `state`, one word."""
        ...

    def deploy(self) -> None:
        """Export the finished run's model and use it; raises UserError if there is none."""
        ...

    def close(self) -> None:
        """End the process."""
        ...


class Session:
    """Everything that happens while one teaches; its methods may be called from any thread.

    Args:
        store: the images.
        learner: fits the head.
        live: answers with the head.
        exchange: changes what answers.
        trainer: fine-tunes; None: it is not possible here, for the reason `why`.
        why: said where `trainer` is missing.
    """

    def __init__(
        self,
        store: Store,
        learner: Learner,
        live: TaughtClassifier,
        exchange: Exchange,
        *,
        why: str = "",
    ) -> None:
        self.store, self.learner, self.live, self.exchange = store, learner, live, exchange
        self.trainer: Trainer | None = None
        self._why = why
        self._newest: Answer | None = None
        self._captured: tuple[str, int] | None = None
        self._lock = Lock()
        self._used: list[str] = []

    def see(self, answer: Answer) -> None:
        """Remember the newest frame; on the loop's thread, so it costs a reference."""
        self._newest = answer

    # Images.

    def capture(self, label: str) -> dict[str, Any]:
        """Keep the newest frame; `captured` is its key, None if it is kept already.

        Raises:
            UserError: there is no frame yet, no such class, or it cannot be written.
        """
        answer = self._newest
        if answer is None:
            raise UserError("there is no image yet: the camera has delivered none")
        frame = answer.frame
        mark = (frame.source, frame.index)
        with self._lock:
            if mark == self._captured:
                return {"captured": None}
            self._between_bursts()
            kept = self.store.add(frame.image, label, source=frame.source)
            self._captured = mark
        self.learner.notice()
        return {"captured": kept.key, "alike": kept.alike}

    def upload(self, data: bytes, label: str, name: str) -> dict[str, Any]:
        """Keep an image from a file, without its metadata such as the place.

        Raises:
            UserError: it is not an image, no such class, or it cannot be written.
        """
        image = decode_image(data, name[:80] or "the file")
        height, width = image.shape[:2]
        if (factor := LARGEST / max(height, width)) < 1:
            image = shrink(image, max(1, round(height * factor)), max(1, round(width * factor)))
        with self._lock:
            self._between_bursts()
            kept = self.store.add(np_contiguous(image), label, source=f"file {name[:80]}")
        self.learner.notice()
        return {"captured": kept.key, "alike": kept.alike}

    def delete(self, keys: Sequence[str]) -> None:
        """Delete images."""
        self.store.delete(keys)
        self.learner.notice()

    def move(self, keys: Sequence[str], label: str) -> None:
        """Move images to another class."""
        self.store.move(keys, label)
        self.learner.notice()

    def add_class(self, name: str) -> str:
        """Add a class and return its name."""
        return self.store.add_class(name)

    def remove_class(self, name: str) -> None:
        """Remove a class without images."""
        self.store.remove_class(name)

    # The model.

    @property
    def used(self) -> str:
        """The model file that answers; empty: the head that is being taught."""
        return self._used[-1] if self._used else ""

    def use(self, paths: Sequence[Path]) -> None:
        """Let a trained model answer; raises EdgecatError if it cannot be opened."""
        classifier = self.exchange.use(list(paths))
        path = str(classifier.path)
        self._used.append(path)
        self.store.journal.append("used", model=path, classes=list(classifier.labels))

    def undo(self) -> None:
        """Go back to what answered before.

        Raises:
            UserError: nothing answered before.
            EdgecatError: it cannot be opened.
        """
        if not self._used:
            raise UserError("there is nothing to undo: the head that is being taught answers")
        before = self._used[-2:-1]
        if before:
            self.exchange.use([Path(before[0])])
        else:
            self.exchange.use_live()
        undone = self._used.pop()
        self.store.journal.append("undone", model=undone)

    def restore(self) -> str:
        """Use the model that answered when the last session ended; return why not, if it fails."""
        for entry in self.store.journal:
            if entry["event"] == "used" and isinstance(entry.get("model"), str):
                self._used.append(entry["model"])
            elif entry["event"] == "undone" and self._used:
                self._used.pop()
        if not self._used:
            return ""
        try:
            self.exchange.use([Path(self._used[-1])])
        except EdgecatError as error:
            self._used.clear()
            return str(error)
        return ""

    # What the page shows.

    def state(self, known: int = -1) -> dict[str, Any]:
        """Everything that the page shows, JSON-ready.

        Args:
            known: version of the images that the page has; they are left out if it is the newest.
        """
        taught, version = self.learner.taught, self.store.version
        figures = {one.label: one._asdict() for one in taught.figures} if taught else {}
        state: dict[str, Any] = {
            "version": version,
            "classes": list(self.store.classes),
            "none": NONE,
            "figures": figures,
            "seconds": round(self.learner.seconds, 3),
            "skipped": list(self.learner.skipped.values())[:5],
            "used": Path(self.used).name,
            "folder": str(self.store.folder),
            "training": self.trainer.state() if self.trainer else {"state": "no", "why": self._why},
        }
        if known != version:
            state["images"] = [_shown(one) for one in self.store.captures()]
        return state

    def close(self) -> None:
        """End training and learning; hold out what can be held out."""
        if self.trainer is not None:
            self.trainer.close()
        self.learner.close()
        self.store.divide()

    def _between_bursts(self) -> None:
        """Hold out whole bursts once no burst is going on."""
        newest = max((one.time for one in self.store.captures()[-1:]), default=0.0)
        if time.time() - newest > PAUSE:
            self.store.divide()


def _shown(capture: Capture) -> list[Any]:
    marks = ("held" if capture.held else "") + (" alike" if capture.alike else "")
    return [capture.key, capture.label, round(capture.time, 2), marks.strip()]


def np_contiguous(image: Image) -> Image:
    """The image in one piece of memory."""
    import numpy as np

    return np.ascontiguousarray(image)


def texts(message: Mapping[str, Any], name: str) -> list[str]:
    """A list of texts in a message from the page.

    Raises:
        UserError: there is none.
    """
    value = message.get(name)
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise UserError(f"{name} is {str(value)[:60]!r}; expected a list of texts")
    return value


def text(message: Mapping[str, Any], name: str) -> str:
    """A text in a message from the page.

    Raises:
        UserError: there is none.
    """
    value = message.get(name)
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{name} is {str(value)[:60]!r}; expected a text")
    return value
