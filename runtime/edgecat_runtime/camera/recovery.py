"""Recovery of a lost source: reported once, retried with backoff, or given up."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from time import perf_counter
from typing import Literal

from edgecat_runtime.camera.source import Shot, Source
from edgecat_runtime.errors import DeviceError, UserError
from edgecat_runtime.model.status import Status

log = logging.getLogger("edgecat_runtime")

Reopen = Callable[[], Source]

_GRACE_SECONDS = 0.5  # lets a source's own timeout fire first
_LONGEST_PAUSE = 0.5


class Recovery:
    """The state of a source, and when and how it is reopened.

    Hold the camera's condition when calling a method, except for `reopen`.

    Args:
        reopen: reopens the source; None: its loss is an error.
        stall: seconds without a sign of life after which a source counts as lost.
        give_up: seconds after which a loss is an error; None: never.
        tell: called with `lost` or `back`, the reason, and the seconds without a frame.

    Attributes:
        state: `waiting` for the first frame, `live`, `no signal` or `ended`.
        losses: number of times a source that had delivered frames was lost.
    """

    def __init__(
        self,
        reopen: Reopen | None,
        *,
        stall: float,
        give_up: float | None,
        tell: Callable[[Literal["lost", "back"], str, float], None],
    ) -> None:
        self.state = Status.WAITING
        self.losses = 0
        self._reopen = reopen
        self._stall, self._give_up = stall, give_up
        self._tell = tell
        self._reason: Exception | None = None
        self._lost_at = 0.0
        self._tries = 0
        self._since = 0.0  # the last sign of life: a frame, or an attempt to open

    @property
    def retries(self) -> bool:
        """Whether a lost source is reopened."""
        return self._reopen is not None and self._give_up != 0

    def reopen(self) -> Source:
        """Reopen the source; raises DeviceError if it is not available yet."""
        assert self._reopen is not None
        self.wait()
        try:
            return self._reopen()
        except UserError as error:  # it was valid once and may be again
            raise DeviceError(str(error)) from error

    def replace(self, reopen: Reopen | None) -> None:
        """Start over with another source."""
        self._reopen = reopen
        self.state, self._lost_at, self._tries = Status.WAITING, 0.0, 0

    def wait(self, seconds: float = 0.0) -> None:
        """Restart the stall timeout, now or `seconds` from now."""
        self._since = perf_counter() + seconds

    def alive(self, name: str, now: float) -> None:
        """Record a frame of the source with this name."""
        self._since = now
        if self.state is Status.NO_SIGNAL:
            self._tell("back", str(self._reason), now - self._lost_at)
            log.warning("%s is back after %.1f s", name, now - self._lost_at)
        if self.state is not Status.LIVE:
            self.state, self._lost_at, self._tries = Status.LIVE, 0.0, 0

    def lose(self, error: Exception) -> None:
        """Mark the source as lost; a loss is reported once, however many retries it takes."""
        self._reason = error
        self._tries += 1
        if self.state is Status.NO_SIGNAL:
            return
        self.losses += self.state is Status.LIVE
        self.state, self._lost_at = Status.NO_SIGNAL, perf_counter()
        self._tell("lost", str(error), 0.0)
        if self._give_up != 0:
            log.warning("no signal, retrying: %s", error)

    def pause(self) -> float:
        """Return the seconds until the next attempt: exponential backoff with jitter."""
        seconds = min(_LONGEST_PAUSE, 0.05 * 2.0 ** min(self._tries, 5)) * random.uniform(0.5, 1)
        self.wait(seconds)
        log.debug("attempt %d in %.2f s: %s", self._tries, seconds, self._reason)
        return seconds

    def is_stalled(self, now: float) -> bool:
        """Whether there has been no sign of life for too long."""
        return self._watched and now - self._since > self._stall + _GRACE_SECONDS

    def is_hopeless(self, now: float) -> bool:
        """Whether the source has been lost for longer than allowed."""
        return (
            self._watched
            and bool(self._lost_at)
            and self._give_up is not None
            and now - self._lost_at >= self._give_up
        )

    @property
    def final_error(self) -> Exception | None:
        """The error that ends a camera whose source is given up."""
        if not self._give_up:
            return self._reason
        return DeviceError(f"{self._reason}; gave up after {self._give_up:g} s")

    @property
    def _watched(self) -> bool:
        return self._reopen is not None and self.state is not Status.ENDED


class Absent(Source):
    """A live source that could not be opened yet."""

    live = True

    def __init__(self, name: str, error: DeviceError) -> None:
        self.name = name
        self._error = error

    def read(self) -> Shot | None:
        """Raise what opening it raised."""
        raise self._error
