"""Hands parts to workers; what a lost worker had goes to another one.

A part that repeatedly costs its worker is examined: it is halved again and again, until single
images remain that end a worker on their own. Those are left out of their batches, as an image that
cannot be decoded is, and the part is classified once more.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from time import perf_counter

from edgecat.workflows.batch.pool import Done, Event, Lost, Pool, Started, Unusable
from edgecat.workflows.batch.tasks import Rows, Task
from edgecat_runtime.errors import DeviceError

_TRIES = 3  # of a part, before it is examined
_ALONE = 2  # times that a single image ends a worker until it is left out
_IN_A_ROW, _EACH_IN_A_ROW = 12, 4  # workers lost without any success, in all and times the pool


@dataclass
class _Examined:
    """A part whose images are looked at one by one."""

    task: Task
    open: int = 0
    deaths: Counter[int] = field(default_factory=Counter)
    culprits: dict[int, str] = field(default_factory=dict)


class Coordinator:
    """Runs every task once, on whichever worker is free.

    Args:
        pool: the workers.
        tasks: what to run, drawn only when a worker is free.
        done: called with each finished task and its rows.
        warn: called with a sentence when a worker is lost.

    Attributes:
        lost: number of workers lost while they had a task.
        begun: `perf_counter()` when the first worker was ready.
    """

    def __init__(
        self,
        pool: Pool,
        tasks: Iterator[Task],
        done: Callable[[Task, Rows], None],
        warn: Callable[[str], None],
    ) -> None:
        self.lost = 0
        self.begun = 0.0
        self._pool, self._tasks, self._done, self._warn = pool, tasks, done, warn
        self._again: deque[Task] = deque()
        self._free = self._busy = self._lost_in_a_row = 0
        self._given_up: list[Unusable] = []
        self._tries: Counter[int] = Counter()
        self._examined: dict[int, _Examined] = {}
        self._rounds: Counter[int] = Counter()

    def run(self) -> None:
        """Run all tasks.

        Raises:
            EdgecatError: no worker can be started, or nothing but lost workers comes of them.
        """
        following = self._next()
        while self._busy or following is not None:
            while following is not None and self._free:
                self._pool.submit(following)
                self._free, self._busy = self._free - 1, self._busy + 1
                following = self._next()
            self._take(self._pool.wait())
            following = following or self._next()

    def _next(self) -> Task | None:
        return self._again.popleft() if self._again else next(self._tasks, None)

    def _take(self, event: Event) -> None:
        if isinstance(event, Started):
            self.begun = self.begun or perf_counter()
            self._free += 1
        elif isinstance(event, Unusable):
            self._given_up.append(event)
            if len(self._given_up) == self._pool.size:
                raise event.error
            self._warn(f"one {self._pool.kind} less: {event.error}")
        elif isinstance(event, Done):
            self._free, self._busy = self._free + 1, self._busy - 1
            if len(event.task.excluded) < len(event.task.items):
                self._lost_in_a_row = 0
            if event.task.probe:
                self._probed(event.task, "")
            else:
                self._done(event.task, event.rows)
        else:
            self._busy -= 1
            self._worker_lost(event)

    def _worker_lost(self, event: Lost) -> None:
        task = event.task
        self.lost += 1
        self._lost_in_a_row += 1
        if self._lost_in_a_row == max(_IN_A_ROW, _EACH_IN_A_ROW * self._pool.size):
            raise DeviceError(
                f"{self._lost_in_a_row} workers ended one after another ({event.reason}), the last "
                f"one with {task}; expected them to classify images",
                fix="Use fewer --workers or a smaller --batch if memory runs out, then run the "
                "same command again",
            )
        if task.probe:
            self._probed(task, event.reason)
            return
        self._tries[task.part] += 1
        self._warn(f"a {self._pool.kind} ended ({event.reason}); its images go to another one")
        if self._tries[task.part] < (_TRIES if len(task.items) > 1 else _ALONE):
            self._again.append(task)
        elif len(task.items) > 1:
            self._examine(task)
        else:
            self._again.append(replace(task, excluded={0: _culprit(task, event.reason)}))

    def _examine(self, task: Task) -> None:
        self._warn(f"looking for the image that ends its worker: {task}")
        self._rounds[task.part] += 1
        self._examined[task.part] = _Examined(task)
        self._probe(task.part, 0, len(task.items))

    def _probe(self, part: int, begin: int, end: int) -> None:
        """Queue the two halves of a range, or a single image."""
        found = self._examined[part]
        middle = (begin + end) // 2
        for first, last in ((begin, middle), (middle, end)):
            if first == last:
                continue
            excluded = {
                place - first: reason
                for place, reason in found.task.excluded.items()
                if first <= place < last
            }
            found.open += 1
            self._again.append(
                replace(
                    found.task,
                    items=found.task.items[first:last],
                    excluded=excluded,
                    begin=first,
                    probe=True,
                )
            )

    def _probed(self, probe: Task, reason: str) -> None:
        found = self._examined[probe.part]
        found.open -= 1
        if reason and len(probe.items) > 1:
            self._probe(probe.part, probe.begin, probe.begin + len(probe.items))
        elif reason:
            found.deaths[probe.begin] += 1
            if found.deaths[probe.begin] < _ALONE:
                self._probe(probe.part, probe.begin, probe.begin + 1)
            else:
                found.culprits[probe.begin] = _culprit(probe, reason)
        if not found.open:
            self._decide(self._examined.pop(probe.part))

    def _decide(self, found: _Examined) -> None:
        """Classify the part once more, without the images that were found."""
        task = found.task
        if not found.culprits and self._rounds[task.part] > 1:
            raise DeviceError(
                f"the images {task} end their worker together, but none does alone",
                fix="Use a smaller --batch or fewer --workers if memory runs out, then run the "
                "same command again",
            )
        self._tries[task.part] = 0
        self._again.append(replace(task, excluded={**task.excluded, **found.culprits}))


def _culprit(task: Task, reason: str) -> str:
    return (
        f"{task.items[0].source} ends the process that classifies it, even alone ({reason}); "
        "expected an image"
    )
