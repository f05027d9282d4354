"""What a follower tells its loop: classifiers that take over, and refusals, each once."""

from __future__ import annotations

import logging
from collections import Counter, deque

from edgecat_runtime.classifier import Classifier
from edgecat_runtime.loop.fleet.decide import UpdateRefused
from edgecat_runtime.loop.fleet.store import Store
from edgecat_runtime.loop.reload import Reloaded
from edgecat_runtime.model.versions import Cause, Refusal

log = logging.getLogger("edgecat_runtime")


class Reports:
    """News for the loop, in order.

    Args:
        store: the board's folder, for the version that is still serving.

    Attributes:
        counts: refusals by cause.
        last: the last refusal; None if there was none.
    """

    def __init__(self, store: Store) -> None:
        self.counts: Counter[Cause] = Counter()
        self.last: UpdateRefused | None = None
        self._store = store
        self._told: set[tuple[Refusal, str]] = set()
        self._news: deque[Reloaded] = deque()

    def offer(self, classifier: Classifier, reason: str) -> None:
        """Let a classifier take over between two frames."""
        self._news.append(Reloaded(classifier, reason))

    def take(self) -> Reloaded | None:
        """The oldest news; None if there is none."""
        return self._news.popleft() if self._news else None

    def manifest_accepted(self) -> None:
        """A manifest that is refused after this one is news again."""
        self._told = {told for told in self._told if told[0].version}

    def tell(self, refused: UpdateRefused) -> None:
        """Report a refusal once."""
        self.last = refused
        key = (refused.refusal, str(refused))
        if key in self._told:
            return
        self._told.add(key)
        self.counts[refused.refusal.cause] += 1
        current = self._store.state.current
        serving = f", still serving version {current.version}" if current else ""
        reason = f"update refused{serving}: {refused}"
        log.warning("%s", reason)
        self._news.append(Reloaded(None, reason, refused.refusal))
