"""One producer for many viewers: made while someone watches, and only the newest is kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress

log = logging.getLogger("edgecat_runtime")

Produce = Callable[[], Awaitable[bytes | None]]


class Broadcast:
    """What is produced, once a period, for all who watch. Lives in one event loop.

    Args:
        name: for sentences.
        start: called when the first viewer comes; returns a function that returns the next value,
            or None where nothing is new.
        period: seconds from one call to the next, at least.
    """

    def __init__(self, name: str, start: Callable[[], Produce], period: float) -> None:
        self.viewers = 0
        self._name = name
        self._start = start
        self._period = period
        self._number = 0
        self._value: bytes | None = b""
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def watch(self) -> AsyncGenerator[bytes, None]:
        """Yield the newest value and every newer one; whoever is slow misses those in between.

        To be closed by `contextlib.aclosing`: the last one who leaves ends the work.
        """
        self.viewers += 1
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        seen = 0
        try:
            while True:
                while self._number == seen:
                    await self._changed.wait()
                seen = self._number
                if self._value is None:
                    return
                yield self._value
        finally:
            self.viewers -= 1
            if not self.viewers:
                self._rest()

    def put(self, value: bytes | None) -> None:
        """Give everyone a value now; None ends their watching."""
        self._number += 1
        self._value = value
        self._changed.set()
        self._changed = asyncio.Event()

    def _rest(self) -> None:
        """Stop producing, and forget: who comes next is to see nothing old."""
        if self._task is not None:
            self._task.cancel()
        self._task = None
        self._number, self._value = 0, b""

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        due = clock()
        produce = self._start()
        with suppress(asyncio.CancelledError):
            while True:
                try:
                    value = await produce()
                except Exception as error:
                    log.error("%s stopped: %s", self._name, error)
                    self.put(None)
                    return
                if value is not None:
                    self.put(value)
                due = max(due + self._period, clock())
                await asyncio.sleep(due - clock())
