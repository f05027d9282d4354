"""Follows a channel while a loop runs: polls, hands over what has proved itself, and goes back."""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock, Thread
from time import monotonic

from edgecat_runtime.classifier import Classifier
from edgecat_runtime.errors import EdgecatError
from edgecat_runtime.loop.answers import Answer
from edgecat_runtime.loop.fleet.decide import UpdateRefused
from edgecat_runtime.loop.fleet.device import Device, board_id
from edgecat_runtime.loop.fleet.opening import Opening
from edgecat_runtime.loop.fleet.options import FollowOptions
from edgecat_runtime.loop.fleet.origin import Origin
from edgecat_runtime.loop.fleet.probation import Probation
from edgecat_runtime.loop.fleet.reports import Reports
from edgecat_runtime.loop.fleet.starting import started
from edgecat_runtime.loop.fleet.store import Store
from edgecat_runtime.loop.fleet.updater import Offer, Updater, nothing_offered
from edgecat_runtime.loop.reload import Reloaded
from edgecat_runtime.loop.updates import UpdateStatus
from edgecat_runtime.model.channel import rollout_position
from edgecat_runtime.model.versions import CAUSES
from edgecat_runtime.system.child import ChildCancelled

log = logging.getLogger("edgecat_runtime")

_TICK = 0.5
_SPREAD = 30.0  # a power cut ends for all boards at once
_JITTER = 0.1
_CLOSE_SECONDS = 1.0
_TRIAL_CLOSE_SECONDS = 10.0


class Follower:
    """Replaces a loop's classifier with the models of a channel.

    Args:
        origin: the channel.
        store: the board's folder; closed with this object.
        opening: how models are opened.
        device: chooses among a release's files.
        options: how often, and whether there is a canary.
        clock: in seconds, steady.

    Example:
        >>> follower = Follower(  # doctest: +SKIP
        ...     open_origin(url), Store(folder), Opening("keys.pub")
        ... )
        >>> with follower, follower.open() as classifier:  # doctest: +SKIP
        ...     Pipeline(camera, classifier, [follower.observe], reload=follower).run()
    """

    def __init__(
        self,
        origin: Origin,
        store: Store,
        opening: Opening,
        *,
        device: Device | None = None,
        options: FollowOptions | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.board = board_id((options or FollowOptions()).board)
        self._origin, self._store, self._opening = origin, store, opening
        self._options, self._clock = options or FollowOptions(), clock
        self._stop, self._busy, self._lock = Event(), Event(), Lock()
        self._reports = Reports(store)
        self._probation = Probation(store, opening, self._options.canary, self._reports, clock)
        self._updater = Updater(
            store,
            origin,
            opening,
            device=device or Device(),
            board=self.board,
            refused=self._reports.tell,
            stopped=self._stop.is_set,
            clock=clock,
        )
        self._retired: deque[Classifier] = deque()
        self._failures = self._failed = 0
        self._trouble = ""
        self._contact: float | None = None
        self._due = 0.0
        self._thread: Thread | None = None

    def open(self, *, wait: bool = False) -> Classifier:
        """Open the model that this board has, or else fetch its first one.

        Args:
            wait: whether to wait for a channel that cannot be reached, or offers nothing yet.

        Raises:
            DeviceError: likewise, without `wait`: trying again later may help.
            GateError: what it offers is refused.
            UserError: as `Updater.attempt`.
        """
        if self._store.damaged:
            log.warning("%s", self._store.damaged)
        classifier = started(self._store, self._opening, self._reports.tell)
        while classifier is None:
            classifier = self._first(wait=wait)
        self._failed = 0
        return classifier

    def _first(self, *, wait: bool) -> Classifier | None:
        """Fetch the first model; None after a pause if that may succeed later."""
        try:
            offer = self._updater.attempt()
            self._contact = self._clock()
            if offer is None:
                raise self._reports.last or nothing_offered(self._origin, self.board)
            self._install(offer)
        except EdgecatError as error:
            if not wait:
                raise
            self._failed += 1
            log.warning("%s; waiting for the channel", error)
            self._stop.wait(self._pause())
            return None
        return offer.classifier

    def reopen(self) -> Classifier:
        """Open the model in use again.

        Raises:
            EdgecatError: as `Classifier.open_fastest`.
        """
        state = self._store.state
        assert state.current is not None
        classifier = self._opening.again(self._store.path(state.current))
        classifier.version = state.name
        return classifier

    def observe(self, answer: Answer) -> None:
        """Count an answer for the canary; an output of the loop, or called by one."""
        self._probation.observe(answer)

    # For the loop's engine, on its thread.

    def start(self) -> None:
        """Begin to poll, at a moment of this board's own."""
        place = rollout_position(self._store.state.channel, self.board) / 100
        self._due = self._clock() + place * min(self._options.every, _SPREAD)
        self._probation.begin()
        self._thread = Thread(target=self._run, name="edgecat follow", daemon=True)
        self._thread.start()

    def take(self) -> Reloaded | None:
        """Return what has happened; free of cost if nothing has."""
        return self._reports.take()

    def retire(self, classifier: Classifier) -> None:
        """Close a replaced classifier without blocking the loop."""
        self._retired.append(classifier)

    def close(self) -> None:
        """Stop polling; what is being downloaded is continued the next time."""
        self._stop.set()
        self._origin.cancel()
        if self._thread is not None:
            self._thread.join(_TRIAL_CLOSE_SECONDS if self._busy.is_set() else _CLOSE_SECONDS)
            self._thread = None
        with self._lock:
            self._close_retired()
            while (news := self._reports.take()) is not None:
                if news.classifier is not None:
                    news.classifier.close()
        self._store.close()

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # For outputs, on any thread.

    def status(self) -> UpdateStatus:
        """Where this board stands."""
        state, contact = self._store.state, self._contact
        current = state.current
        return UpdateStatus(
            channel=state.channel,
            board=self.board,
            version=current.version if current else 0,
            sha256=current.sha256 if current else "",
            offered=state.offered,
            sequence=state.sequence,
            contact_seconds=None if contact is None else self._clock() - contact,
            canary=state.before is not None,
            refusals={cause: self._reports.counts[cause] for cause in CAUSES},
            failures=self._failures,
            trouble=self._trouble,
        )

    # On the thread that polls.

    def _run(self) -> None:
        while not self._stop.wait(_TICK):
            with suppress(ChildCancelled):
                self.tick()
        with self._lock:
            self._close_retired()

    def tick(self) -> None:
        """Judge the model in use, and poll if it is time; called twice a second."""
        with self._lock:
            self._close_retired()
        try:
            self._probation.judge()
        except EdgecatError as error:  # the disk is full: it is judged again
            self._trouble = str(error)
        if self._clock() < self._due:
            return
        self._busy.set()
        try:
            self._poll()
        finally:
            self._busy.clear()
            self._due = self._clock() + self._pause()

    def _poll(self) -> None:
        try:
            offer = self._updater.attempt()
            if offer is not None:
                self._take_over(offer)
            self._trouble, self._failed, self._contact = "", 0, self._clock()
            self._reports.manifest_accepted()
        except UpdateRefused as error:
            self._trouble, self._failed = str(error), 0
            self._reports.tell(error)
        except EdgecatError as error:
            self._fail(str(error))
        except ChildCancelled:
            raise
        except Exception as error:  # whatever it is, the next poll may go well
            log.debug("the channel could not be followed", exc_info=True)
            self._fail(str(error) or type(error).__name__)

    def _take_over(self, offer: Offer) -> None:
        before = self._store.state.current
        try:
            self._install(offer)
        except EdgecatError:
            offer.classifier.close()
            raise
        card, model = offer.classifier.card, offer.model
        was = f", was version {before.version}" if before else ""
        reason = (
            f"{'returned to' if offer.returns else 'updated to'} version {model.version} of "
            f"{self._store.state.channel}{was}: {card.architecture}, {card.precision}, "
            f"{card.width}x{card.height}, on {offer.classifier.backend}"
        )
        log.warning("%s", reason)
        self._reports.offer(offer.classifier, reason)

    def _install(self, offer: Offer) -> None:
        before = None if offer.returns else self._probation.before(offer.model.version)
        self._store.save(self._store.state.taking(offer.model, before))
        self._store.tidy()
        self._probation.begin()

    def _fail(self, trouble: str) -> None:
        """Report trouble with the channel once until it is over."""
        level = logging.INFO if self._failed else logging.WARNING
        log.log(level, "%s; trying again", trouble)
        self._failures += 1
        self._failed += 1
        self._trouble = trouble

    def _pause(self) -> float:
        every = self._options.every
        pause = min(2.0 ** min(self._failed - 1, 30), every) if self._failed else every
        return pause * random.uniform(1 - _JITTER, 1 + _JITTER)

    def _close_retired(self) -> None:
        while self._retired:
            self._retired.popleft().close()
