"""The canary: a new model's live predictions beside those of the model before it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from time import monotonic

from edgecat_runtime.errors import UserError
from edgecat_runtime.loop.fleet.state import Statistics

LIMIT = 0.15
LEAST_FRAMES = 100
_BUCKETS = 60
_SOONEST = 0.25


@dataclass(frozen=True)
class CanaryLimits:
    """When a new model goes back.

    Attributes:
        minutes: that it is compared for, and that the model before it is remembered for.
        limit: maximum difference of the mean confidence, and of the fraction of `unsure`, 0 to 1.
        least_frames: fewer are not judged: the canary waits.

    Raises:
        UserError: a number is out of range.
    """

    minutes: float
    limit: float = LIMIT
    least_frames: int = LEAST_FRAMES

    def __post_init__(self) -> None:
        if not (0 < self.minutes <= 10_080 and 0 < self.limit < 1 and self.least_frames >= 1):
            raise UserError(
                f"the canary has {self.minutes:g} minutes and a limit of {self.limit:g}; expected "
                "minutes above 0 and up to 10080, and a limit between 0 and 1"
            )

    @property
    def seconds(self) -> float:
        """The window."""
        return 60 * self.minutes


class Window:
    """Live statistics over the last minutes, or more if there were few frames; bounded memory.

    One thread may add while another reads.

    Args:
        seconds: its length; it is accurate to a sixtieth.
        least: frames that are kept however old they are.
        clock: in seconds, steady.
    """

    def __init__(self, seconds: float, least: int, clock: Callable[[], float] = monotonic) -> None:
        self._clock, self._least = clock, least
        self._seconds = seconds
        self._lock = Lock()
        self._buckets: deque[tuple[float, int, float, int]] = deque()
        self._start = clock()

    @property
    def age(self) -> float:
        """Seconds since it was emptied."""
        return self._clock() - self._start

    def add(self, confidence: float, *, unsure: bool) -> None:
        """Add one frame."""
        now = self._clock()
        with self._lock:
            if self._buckets and now - self._buckets[-1][0] < self._seconds / _BUCKETS:
                began, frames, total, count = self._buckets.pop()
            else:
                began, frames, total, count = now, 0, 0.0, 0
            self._buckets.append((began, frames + 1, total + confidence, count + unsure))
            self._drop(now)

    def statistics(self) -> Statistics:
        """Of the frames in it."""
        with self._lock:
            self._drop(self._clock())
            frames = sum(bucket[1] for bucket in self._buckets)
            total = sum(bucket[2] for bucket in self._buckets)
            unsure = sum(bucket[3] for bucket in self._buckets)
        return Statistics(frames, total / frames, unsure / frames) if frames else _NOTHING

    def clear(self) -> None:
        """Empty it."""
        with self._lock:
            self._buckets.clear()
            self._start = self._clock()

    def _drop(self, now: float) -> None:
        frames = sum(bucket[1] for bucket in self._buckets)
        while self._buckets and now - self._buckets[0][0] > self._seconds:
            frames -= self._buckets[0][1]
            if frames < self._least:
                return
            self._buckets.popleft()


_NOTHING = Statistics(0, 0.0, 0.0)


def departure(
    limits: CanaryLimits, before: Statistics, now: Statistics, seconds: float
) -> tuple[bool, str]:
    """Judge a model.

    Args:
        limits: when it goes back.
        before: how the model before it did.
        now: how it does.
        seconds: since it took over.

    Returns:
        Whether it is judged already, and why it goes back: empty if it does not. It is judged from
        a quarter of the time on if it departs, else at the end; never with too few frames.
    """
    if now.frames < limits.least_frames or seconds < _SOONEST * limits.seconds:
        return False, ""
    apart = max(abs(now.confidence - before.confidence), abs(now.unsure - before.unsure))
    if apart <= limits.limit:
        return seconds >= limits.seconds, ""
    return True, (
        f"its live predictions depart from those before it by more than {limits.limit:g}: {now} "
        f"over {now.frames} frames; before: {before}"
    )
