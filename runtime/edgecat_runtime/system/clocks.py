"""Clocks of the camera loop: bounded memory, a microsecond per tick, percentiles over a run."""

from __future__ import annotations

import random
from array import array
from collections import deque
from time import perf_counter

import numpy as np

KEPT = 4096


class Clock:
    """Durations of one stage, in bounded memory.

    Up to `KEPT` durations are kept exactly; beyond that, a uniform random sample is (Vitter 1985,
    algorithm R), so percentiles cover the whole run, however long. One thread may read while
    another adds.

    Attributes:
        count: durations so far.
        total: their sum in seconds.
    """

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self._kept = array("d")
        self._random = random.Random(0)

    def add(self, seconds: float) -> None:
        """Add one duration."""
        self.count += 1
        self.total += seconds
        if self.count <= KEPT:
            self._kept.append(seconds)
        elif (slot := int(self._random.random() * self.count)) < KEPT:
            self._kept[slot] = seconds

    def percentile_ms(self, percent: float) -> float:
        """Return a percentile in milliseconds, rounded to a microsecond; 0 without durations."""
        kept = self._kept[:]  # an array cannot grow while NumPy views it
        return round(float(np.percentile(np.array(kept), percent)) * 1e3, 3) if kept else 0.0


class Rate:
    """Events per second over roughly the last second.

    Attributes:
        last: the rate at the last tick, in 1/s; 0 before the second one.
    """

    def __init__(self, span: float = 1.0) -> None:
        self.last = 0.0
        self._span = span
        self._times: deque[float] = deque(maxlen=256)

    def tick(self, now: float | None = None) -> float:
        """Count one event, at `now` seconds of any steady clock, and return the rate."""
        times = self._times
        times.append(perf_counter() if now is None else now)
        while len(times) > 2 and times[-1] - times[1] >= self._span:
            times.popleft()
        passed = times[-1] - times[0]
        self.last = (len(times) - 1) / passed if passed > 0 else 0.0
        return self.last
