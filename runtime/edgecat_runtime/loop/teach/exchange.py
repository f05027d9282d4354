"""Which model answers: the head that is being taught, or one that was trained and exported."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from threading import Lock, Thread

from edgecat_runtime.classifier import Classifier
from edgecat_runtime.errors import GateError
from edgecat_runtime.loop.reload import Reloaded
from edgecat_runtime.loop.trial import why_not


class Exchange:
    """Hands classifiers to a running loop, and takes the replaced ones back.

    Args:
        live: the classifier that is being taught; it stays open, since one goes back to it.
        open_model: opens the fastest of some model files that passes its self-test.
    """

    def __init__(self, live: Classifier, open_model: Callable[[list[Path]], Classifier]) -> None:
        self._live, self._open = live, open_model
        self._news: deque[Reloaded] = deque()
        self._lock = Lock()
        self._closed = False

    def use(self, paths: list[Path]) -> Classifier:
        """Open a model, first in a child process, and hand it to the loop.

        Raises:
            EdgecatError: it cannot be opened or fails its self-test; the loop goes on as it is.
        """
        options = {
            "paths": paths, "backend": "auto", "device": "auto", "labels": None, "threads": None,
            "cache": None,
        }  # fmt: skip
        if refusal := why_not(options, cancelled=lambda: self._closed):
            raise GateError(f"{paths[0].name} is not used: {refusal}")
        classifier = self._open(paths)
        self._offer(classifier, f"{classifier.path} answers now")
        return classifier

    def use_live(self) -> None:
        """Go back to the head that is being taught."""
        self._offer(self._live, "the head that is being taught answers now")

    # For the loop's engine.

    def start(self) -> None:
        """Do nothing: nothing is watched."""

    def take(self) -> Reloaded | None:
        """The newest classifier that was handed over, if there is one."""
        with self._lock:
            while len(self._news) > 1:
                self.retire(self._news.popleft().classifier)
            return self._news.popleft() if self._news else None

    def retire(self, classifier: Classifier | None) -> None:
        """Close a replaced classifier, in the background; not the one that is being taught."""
        if classifier is not None and classifier is not self._live:
            Thread(target=classifier.close, daemon=True).start()

    def close(self) -> None:
        """Close what was not taken."""
        self._closed = True
        with self._lock:
            while self._news:
                self.retire(self._news.popleft().classifier)

    def _offer(self, classifier: Classifier, reason: str) -> None:
        with self._lock:
            self._news.append(Reloaded(classifier, reason))
