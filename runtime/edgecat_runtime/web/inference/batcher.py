"""Dynamic batching: frames of several requests go through the network together."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
Logits = NDArray[np.float32]


class Overloaded(Exception):
    """More frames wait than there are places for."""


@dataclass
class Counts:
    """What a batcher did so far.

    Attributes:
        frames: frames that were classified.
        batches: calls of the network.
        refused: requests that found no place.
        seconds: time in the network, the sum over its instances.
    """

    frames: int = 0
    batches: int = 0
    refused: int = 0
    seconds: float = 0.0


@dataclass
class _Waiting:
    frames: Frames
    answer: asyncio.Future[Logits]
    since: float = field(default_factory=perf_counter)


class Batcher:
    """Collects the frames of concurrent requests into batches.

    While all instances of the network work, requests gather; when one is free, its thread takes as
    many as fit, without waiting for the event loop. Only then may the first one wait, for at most
    `delay`, so that others join it. A request is answered whole, even if its frames need several
    batches.

    Args:
        instances: each classifies uint8 (n, height, width, 3), one batch at a time.
        executor: runs them, each in a thread that it keeps until `close`.
        most: maximum frames per batch.
        delay: longest time for which a free network waits for more frames, in seconds.
        places: maximum frames that wait; a request beyond that is refused at once. A request that
            finds nobody waiting is taken whatever its size.

    Attributes:
        counts: what was done so far.
    """

    def __init__(
        self,
        instances: Sequence[Callable[[Frames], Logits]],
        executor: Executor,
        *,
        most: int,
        delay: float,
        places: int,
    ) -> None:
        self.counts = Counts()
        self._instances = instances
        self._executor = executor
        self._most = most
        self._delay = delay
        self._places = places
        self._queue: deque[_Waiting] = deque()
        self._waiting = 0
        self._closing = False
        self._changed = threading.Condition()  # guards the three above
        self._threads: list[asyncio.Future[None]] = []

    @property
    def waiting(self) -> int:
        """Number of frames that wait."""
        return self._waiting

    def start(self) -> None:
        """Start batching, for the running event loop."""
        loop = asyncio.get_running_loop()
        self._threads = [
            loop.run_in_executor(self._executor, self._run, infer, loop)
            for infer in self._instances
        ]

    async def close(self) -> None:
        """Answer everything that was accepted, then end."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        await asyncio.gather(*self._threads)

    def check(self, frames: int) -> None:
        """Raise Overloaded if so many frames would find no place."""
        waiting = self._waiting
        if self._closing or (waiting and waiting + frames > self._places):
            self.counts.refused += 1
            raise Overloaded

    async def infer(self, frames: Frames) -> Logits:
        """Classify frames, uint8 (n, height, width, 3), together with those of other requests.

        Returns:
            Their logits, float32 (n, classes).

        Raises:
            Overloaded: too many frames wait, or the batcher is closing.
            EdgecatError: whatever `infer` raises.
        """
        self.check(len(frames))
        loop = asyncio.get_running_loop()
        parts = [
            _Waiting(frames[start : start + self._most], loop.create_future())
            for start in range(0, len(frames), self._most)
        ]
        with self._changed:
            before = self._waiting
            self._queue.extend(parts)
            self._waiting += len(frames)
        if not before or before < self._most <= before + len(frames):
            loop.call_soon(self._announce)  # with the requests that have arrived beside this one
        if len(parts) == 1:
            return await parts[0].answer
        return np.concatenate(await asyncio.gather(*(part.answer for part in parts)))

    def _announce(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _run(self, infer: Callable[[Frames], Logits], loop: asyncio.AbstractEventLoop) -> None:
        """Classify batches, in a thread, until the batcher is closed and nobody waits."""
        while (batch := self._next()) is not None:
            if batch:
                started = perf_counter()
                outcome = _outcome(batch, infer)
                seconds = perf_counter() - started
                loop.call_soon_threadsafe(self._answer, batch, outcome, seconds)

    def _next(self) -> list[_Waiting] | None:
        """Wait until a batch is full, or its first request has waited for `delay`; take it.

        Returns:
            Its requests, in the order of their arrival, without cancelled ones; None: the end.
        """
        with self._changed:
            while (left := self._left()) is None or left > 0:
                if self._closing:
                    return None
                self._changed.wait(left)
            batch: list[_Waiting] = []
            size = 0
            while self._queue and size + len(self._queue[0].frames) <= self._most:
                item = self._queue.popleft()
                self._waiting -= len(item.frames)
                if not item.answer.done():
                    batch.append(item)
                    size += len(item.frames)
            return batch

    def _left(self) -> float | None:
        """Seconds until the next batch may be taken; None: nobody waits."""
        if not self._queue:
            return None
        if self._waiting >= self._most or self._closing:
            return 0.0
        return self._queue[0].since + self._delay - perf_counter()

    def _answer(self, batch: list[_Waiting], outcome: Logits | Exception, seconds: float) -> None:
        """Answer the requests of a batch, in the event loop."""
        if isinstance(outcome, Exception):
            for item in batch:
                if not item.answer.done():
                    item.answer.set_exception(outcome)
            return
        self.counts.seconds += seconds
        self.counts.batches += 1
        self.counts.frames += len(outcome)
        end = 0
        for item in batch:
            start, end = end, end + len(item.frames)
            if not item.answer.done():
                item.answer.set_result(outcome[start:end])


def _outcome(batch: list[_Waiting], infer: Callable[[Frames], Logits]) -> Logits | Exception:
    """The logits of a batch, or why there are none."""
    try:
        frames = batch[0].frames
        if len(batch) > 1:
            frames = np.concatenate([item.frames for item in batch])
        logits = infer(frames)
        return logits[: len(frames)]  # raises here if it is no array
    except Exception as error:
        return error
