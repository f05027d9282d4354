"""A pool of workers, wherever they run, as the coordinator sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from edgecat.workflows.batch.tasks import Rows, Task
from edgecat_runtime.errors import DeviceError, EdgecatError

STARTS = 3  # of a worker that ends before it is ready; then it is given up


@dataclass(frozen=True)
class Started:
    """A worker is ready for its first task."""


@dataclass(frozen=True)
class Done:
    """A task was answered."""

    task: Task
    rows: Rows


@dataclass(frozen=True)
class Lost:
    """A worker ended, or raised, while it had a task; another one takes its place."""

    task: Task
    reason: str


@dataclass(frozen=True)
class Unusable:
    """A worker could not be started and is given up."""

    error: EdgecatError


Event = Started | Done | Lost | Unusable


class Pool(Protocol):
    """Workers that take one task each at a time.

    Attributes:
        size: how many workers are wanted.
        kind: what they are, for messages: `local process`, `Ray worker`.
        kinds: the same in the plural.
    """

    size: int
    kind: str
    kinds: str

    def submit(self, task: Task) -> None:
        """Hand a task to the next free worker; the caller submits no more than are `Started`."""
        ...

    def wait(self) -> Event:
        """Wait for something to happen."""
        ...

    def close(self) -> None:
        """End all workers, whatever they are doing."""
        ...


def cannot_start(kind: str, reason: str, fix: str) -> DeviceError:
    """The error of a worker that ends before it is ready, several times in a row."""
    return DeviceError(f"a {kind} cannot be started ({reason})", fix=fix)
