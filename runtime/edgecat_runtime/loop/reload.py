"""Hot reload: a model file that is replaced while the loop runs."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event, Lock, Thread
from typing import NamedTuple, Protocol

from edgecat_runtime.classifier import Classifier
from edgecat_runtime.errors import UserError
from edgecat_runtime.loop.trial import why_not
from edgecat_runtime.model.versions import Refusal
from edgecat_runtime.system.child import ChildCancelled
from edgecat_runtime.system.counting import number_of
from edgecat_runtime.system.hashing import file_sha256
from edgecat_runtime.system.stamp import FileStamp, file_stamp

log = logging.getLogger("edgecat_runtime")

LOOK_SECONDS = 1.0
_CLOSE_SECONDS = 10.0


class Reloaded(NamedTuple):
    """The result of a new file: the classifier that takes over, or None; and a message.

    Of an update that a channel offered and that was refused, also what it was.
    """

    classifier: Classifier | None
    reason: str
    refusal: Refusal | None = None


class Replacements(Protocol):
    """Provides classifiers that replace the one in use, between two frames."""

    def start(self) -> None:
        """Called once the loop has begun."""
        ...

    def take(self) -> Reloaded | None:
        """Return a replacement, or why there is none; None: no news. Must cost nothing."""
        ...

    def retire(self, classifier: Classifier) -> None:
        """Take back the classifier that was replaced; must not block."""
        ...

    def close(self) -> None:
        """Called when the loop has ended; close what was not taken."""
        ...


class Reloader:
    """Watches the file of a classifier, and opens its replacement in a background thread.

    The file is read when its modification time, size or inode has changed and then been stable for
    one check, and opened when its contents differ: first in a child process (`trial.py`), where a
    file that crashes, hangs or fills the memory does no harm, then here. The new classifier must
    pass its self-test and have the same labels in the same order; otherwise a message says why it
    was rejected.

    Args:
        classifier: the classifier in use.
        opened: opens and self-tests the file; None: as the classifier was opened.
        seconds: time between two checks; None: `LOOK_SECONDS`.

    Raises:
        UserError: the classifier was not opened from a file.
    """

    def __init__(
        self,
        classifier: Classifier,
        opened: Callable[[], Classifier] | None = None,
        *,
        seconds: float | None = None,
    ) -> None:
        if classifier.path is None:
            raise UserError("this classifier was not opened from a file and cannot be reloaded")
        self._path = classifier.path
        self._labels = classifier.labels
        self._opened = opened or classifier.open_again
        self._options = classifier.opened_with
        self._seconds = LOOK_SECONDS if seconds is None else seconds
        self._stamp = classifier.stamp
        self._moving: FileStamp | None = None
        self._digest = ""
        self._news: deque[Reloaded] = deque()
        self._retired: deque[Classifier] = deque()
        self._stop = Event()
        self._lock = Lock()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Start watching."""
        self._thread = Thread(target=self._watch, name="edgecat reload", daemon=True)
        self._thread.start()

    def take(self) -> Reloaded | None:
        """Return the result of a new file, if there is one; free of cost if not."""
        return self._news.popleft() if self._news else None

    def retire(self, classifier: Classifier) -> None:
        """Close a replaced classifier without blocking the loop."""
        self._retired.append(classifier)

    def close(self) -> None:
        """Stop watching; close a new classifier that was not taken."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_SECONDS)
        self._clear()

    def _watch(self) -> None:
        if file_stamp(self._path) == self._stamp:
            self._digest = _digest(self._path)
        while not self._stop.wait(self._seconds):
            self._close_retired()
            if self._is_new():
                self._open()
        self._clear()

    def _is_new(self) -> bool:
        """Whether the file's contents differ from the last check."""
        stamp = file_stamp(self._path)
        if stamp is None or stamp == self._stamp:
            return False
        if stamp != self._moving:
            self._moving = stamp  # it may still be in the process of being written
            return False
        digest = _digest(self._path)
        if not digest:
            return False
        new = digest != self._digest
        self._stamp, self._digest = stamp, digest
        return new

    def _open(self) -> None:
        stamp = file_stamp(self._path)
        try:
            refusal = why_not(self._options, cancelled=self._stop.is_set) if self._options else ""
        except ChildCancelled:
            return
        if refusal:
            self._refuse(refusal)
            return
        if file_stamp(self._path) != stamp:
            return  # replaced again meanwhile: the next check finds it
        try:
            classifier = self._opened()
        except Exception as error:
            log.debug("%s cannot be opened", self._path, exc_info=True)
            self._refuse(str(error) or type(error).__name__)
            return
        if classifier.labels != self._labels:
            classifier.close()
            self._refuse(_difference(classifier.labels, self._labels))
            return
        card = classifier.card
        reason = (
            f"{self._path} changed and was reloaded: {card.architecture}, {card.precision}, "
            f"{card.width}x{card.height}, on {classifier.backend}"
        )
        log.warning("%s", reason)
        self._news.append(Reloaded(classifier, reason))

    def _refuse(self, why: str) -> None:
        reason = f"new {self._path} rejected, still serving the previous model: {why}"
        log.warning("%s", reason)
        self._news.append(Reloaded(None, reason))

    def _close_retired(self) -> None:
        while self._retired:
            self._retired.popleft().close()

    def _clear(self) -> None:
        with self._lock:
            self._close_retired()
            while self._news:
                classifier = self._news.popleft().classifier
                if classifier is not None:
                    classifier.close()


def _difference(labels: Sequence[str], expected: Sequence[str]) -> str:
    if len(labels) != len(expected):
        return f"it has {number_of(len(labels), 'label')}; expected {len(expected)}"
    pairs = zip(labels, expected, strict=True)
    place, (label, wanted) = next(item for item in enumerate(pairs) if item[1][0] != item[1][1])
    return f"its label {place} is {label!r}; expected {wanted!r}"


def _digest(path: Path) -> str:
    """SHA-256 of a file; empty if it cannot be read."""
    try:
        return file_sha256(path)
    except OSError:
        return ""
