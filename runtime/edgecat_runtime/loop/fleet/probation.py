"""A model on probation: it is settled once it has served, and passed the canary, or goes back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from edgecat_runtime.errors import EdgecatError
from edgecat_runtime.loop.answers import Answer
from edgecat_runtime.loop.fleet.canary import CanaryLimits, Window, departure
from edgecat_runtime.loop.fleet.decide import UpdateRefused
from edgecat_runtime.loop.fleet.opening import Opening
from edgecat_runtime.loop.fleet.reports import Reports
from edgecat_runtime.loop.fleet.state import Refused, Statistics
from edgecat_runtime.loop.fleet.store import Store

log = logging.getLogger("edgecat_runtime")

SETTLE_SECONDS = 60.0
"""A model that has served for this long without a crash is kept after a restart."""


class Probation:
    """Watches the model in use.

    Args:
        store: the board's folder.
        opening: how the model before it is opened again.
        canary: when it goes back; None: only if it crashes.
        reports: where that is told.
        clock: in seconds, steady.
    """

    def __init__(
        self,
        store: Store,
        opening: Opening,
        canary: CanaryLimits | None,
        reports: Reports,
        clock: Callable[[], float],
    ) -> None:
        self._store, self._opening, self._reports = store, opening, reports
        self._canary = canary
        seconds, least = (canary.seconds, canary.least_frames) if canary else (SETTLE_SECONDS, 1)
        self._window = Window(seconds, least, clock)

    def begin(self) -> None:
        """A model begins to serve."""
        self._window.clear()

    def observe(self, answer: Answer) -> None:
        """Count an answer of the model in use; called from any thread."""
        if self._canary is not None and answer.model == self._store.state.name:
            raw = answer.raw
            self._window.add(raw.probabilities[raw.best], unsure=answer.smoothed.unsure)

    def before(self, version: int) -> Statistics | None:
        """What the canary will compare a new version with; None if there is nothing."""
        canary, state = self._canary, self._store.state
        if canary is None or state.current is None or state.before is not None:
            return state.before
        found = self._window.statistics()
        if found.frames >= canary.least_frames:
            return found
        log.warning(
            "version %d is not compared with version %d, which has answered only %d frames",
            version,
            state.current.version,
            found.frames,
        )
        return None

    def judge(self) -> None:
        """Settle the model in use, or go back from it."""
        state, canary = self._store.state, self._canary
        current, age = state.current, self._window.age
        if current is None or current.settled:
            return
        if age >= SETTLE_SECONDS and current.starts:
            self._store.save(replace(state, current=replace(current, starts=0)))
        if state.before is None or canary is None:
            if age >= SETTLE_SECONDS:
                self._store.save(self._store.state.settled())
            return
        judged, why = departure(canary, state.before, self._window.statistics(), age)
        if judged and not why:
            log.warning("version %d has passed the canary", current.version)
        if judged and not (why and self._went_back(why)):
            self._store.save(self._store.state.settled())

    def _went_back(self, why: str) -> bool:
        """Hand the previous model to the loop; False if it cannot be opened."""
        state = self._store.state
        current, previous = state.current, state.previous
        if current is None or previous is None:
            return False
        try:
            classifier = self._opening.again(self._store.path(previous))
        except EdgecatError as error:
            log.warning("version %d cannot be gone back to: %s; %s", previous.version, error, why)
            return False
        classifier.version = state.version_of(previous)
        reason = f"went back from version {current.version} to version {previous.version}: {why}"
        refused = Refused(current.version, current.sha256, "canary", why)
        self._store.save(state.returned(refused))
        self._window.clear()
        log.warning("%s", reason)
        self._reports.offer(classifier, reason)
        self._reports.tell(UpdateRefused("canary", why, current.version, current.sha256))
        return True
