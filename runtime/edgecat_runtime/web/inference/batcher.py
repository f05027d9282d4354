"""Dynamic batching: frames of several requests go through the network together."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import accumulate
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

    While all instances of the network work, requests gather; when one is free, as many as fit are
    taken at once. Only then may the first one wait, for at most `delay`, so that others join it. A
    request is answered whole, even if its frames need several batches.

    Args:
        instances: each classifies uint8 (n, height, width, 3), one batch at a time.
        executor: runs them, each in a thread.
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
        self._arrived = asyncio.Event()
        self._full = asyncio.Event()
        self._turn = asyncio.Lock()
        self._closing = False
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def waiting(self) -> int:
        """Number of frames that wait."""
        return self._waiting

    def start(self) -> None:
        """Start batching, in the running event loop."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._run(infer)) for infer in self._instances]

    async def close(self) -> None:
        """Answer everything that was accepted, then end."""
        self._closing = True
        self._arrived.set()
        self._full.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def check(self, frames: int) -> None:
        """Raise Overloaded if so many frames would find no place."""
        if self._closing or (self._waiting and self._waiting + frames > self._places):
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
        parts = [
            _Waiting(frames[start : start + self._most], _future())
            for start in range(0, len(frames), self._most)
        ]
        self._queue.extend(parts)
        self._waiting += len(frames)
        self._arrived.set()
        if self._waiting >= self._most:
            self._full.set()
        if len(parts) == 1:
            return await parts[0].answer
        return np.concatenate(await asyncio.gather(*(part.answer for part in parts)))

    async def _run(self, infer: Callable[[Frames], Logits]) -> None:
        while True:
            async with self._turn:  # of the free instances, one at a time gathers a batch
                while not self._queue:
                    if self._closing:
                        return
                    self._arrived.clear()
                    await self._arrived.wait()
                await self._gather()
                batch = self._taken()
            await self._answer(batch, infer)

    async def _gather(self) -> None:
        """Wait until a batch is full or its first request has waited for `delay`."""
        left = self._queue[0].since + self._delay - perf_counter()
        if self._waiting >= self._most or self._closing or left <= 0:
            return
        self._full.clear()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._full.wait(), left)

    def _taken(self) -> list[_Waiting]:
        """The requests of the next batch, in the order of their arrival; cancelled ones go."""
        batch: list[_Waiting] = []
        size = 0
        while self._queue and size + len(self._queue[0].frames) <= self._most:
            item = self._queue.popleft()
            self._waiting -= len(item.frames)
            if not item.answer.done():
                batch.append(item)
                size += len(item.frames)
        return batch

    async def _answer(self, batch: list[_Waiting], infer: Callable[[Frames], Logits]) -> None:
        if not batch:
            return
        loop = asyncio.get_running_loop()
        started = perf_counter()
        try:
            frames = batch[0].frames
            if len(batch) > 1:
                frames = np.concatenate([item.frames for item in batch])
            logits = await loop.run_in_executor(self._executor, infer, frames)
            ends = accumulate(len(item.frames) for item in batch)
            parts = [
                logits[end - len(item.frames) : end] for item, end in zip(batch, ends, strict=True)
            ]
        except Exception as error:
            for item in batch:
                if not item.answer.done():
                    item.answer.set_exception(error)
            return
        self.counts.seconds += perf_counter() - started
        self.counts.batches += 1
        self.counts.frames += len(frames)
        for item, part in zip(batch, parts, strict=True):
            if not item.answer.done():
                item.answer.set_result(part)


def _future() -> asyncio.Future[Logits]:
    return asyncio.get_running_loop().create_future()
