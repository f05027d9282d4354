"""One producer for many viewers: runs while someone watches and keeps only the newest value."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress

log = logging.getLogger("edgecat_runtime")

Produce = Callable[[], Awaitable[bytes | None]]


class Broadcast:
    """A value produced once per period for all viewers. Belongs to one event loop.

    Args:
        name: used in messages.
        start: called when the first viewer arrives; returns a function that returns the next value,
            or None if nothing is new.
        period: minimum seconds between two calls.
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
        """Yield the newest value and every newer one; slow viewers miss those in between.

        Close it with `contextlib.aclosing`: production stops when the last viewer leaves.
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
        """Send a value to all viewers now; None disconnects them."""
        self._number += 1
        self._value = value
        self._changed.set()
        self._changed = asyncio.Event()

    def _rest(self) -> None:
        """Stop producing and clear the value, so that the next viewer sees nothing stale."""
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
