"""Where the workers run, how many they are, and how many images make a batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec

from edgecat.workflows.batch.clusters import check_answers, cluster_here, place_of
from edgecat.workflows.batch.local import LocalPool
from edgecat.workflows.batch.pool import Pool
from edgecat.workflows.batch.worker import Setup
from edgecat.workflows.reporter import Reporter
from edgecat_runtime.errors import BackendMissing, DeviceError, UserError
from edgecat_runtime.system.counting import number_of
from edgecat_runtime.system.machine import cores

LOCAL, RAY = "local", "ray"
_INSTALL = "pip install 'edgecat[ray]'"


@dataclass(frozen=True)
class Workers:
    """Who classifies.

    Attributes:
        on: `local` for processes of this machine; `ray` for the Ray cluster of this machine, or
            one started for the run; `ray://HOST:PORT` for a cluster elsewhere.
        count: number of workers, one thread each. None: one per core, here or in the cluster; on
            GPUs one per GPU.
        batch: images per batch. None: the best size for the model, measured once and cached.

    Raises:
        UserError: a value is not one of these.

    Example:
        >>> Workers("ray://head:10001", count=8).address
        ('head', 10001)
    """

    on: str = LOCAL
    count: int | None = None
    batch: int | None = None

    def __post_init__(self) -> None:
        if self.on not in (LOCAL, RAY) and not self.address:
            raise UserError(
                f"--on is {self.on!r}; expected local, ray, or ray://HOST:PORT such as "
                "ray://head:10001"
            )
        for name, value in (("--workers", self.count), ("--batch", self.batch)):
            if value is not None and value < 1:
                raise UserError(f"{name} is {value}; expected 1 or more")

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port of a cluster elsewhere; None for this machine."""
        return place_of(self.on) if self.on.startswith("ray://") else None

    def threads(self, given: int | None) -> int:
        """The number of threads of a worker: one.

        Raises:
            UserError: another number was given.
        """
        if given not in (None, 1):
            raise UserError(
                f"--threads is {given}; a worker has one thread. Leave it out and choose the "
                "number of --workers"
            )
        return 1

    def available(self, reporter: Reporter) -> Workers:
        """Take local processes instead of Ray where that is not installed, and say so.

        Raises:
            BackendMissing: a cluster elsewhere was asked for, and Ray is not installed.
            UserError: nothing answers at the cluster's address.
        """
        if self.on == LOCAL:
            return self
        if find_spec("ray"):
            check_answers(self.on) if self.address else cluster_here()
            return self
        if self.address:
            raise BackendMissing(f"Ray is not installed, which {self.on} needs", fix=_INSTALL)
        reporter.warn(f"Ray is not installed ({_INSTALL}): using local processes instead")
        return Workers(LOCAL, self.count, self.batch)

    @contextmanager
    def started(self, setup: Setup, reporter: Reporter) -> Iterator[Pool]:
        """Start the workers; end them when the context is left.

        Raises:
            UserError: the cluster cannot be reached or used.
        """
        pool: Pool
        if self.on == LOCAL:
            gpu = setup.device != "cpu"
            pool = LocalPool(setup, self.count or (1 if gpu else cores()))
        else:
            from edgecat.workflows.batch.ray_pool import RayPool

            pool = RayPool(setup, self.on if self.address else cluster_here(), self.count, reporter)
        reporter.note(f"starting {number_of(pool.size, pool.kind, pool.kinds)}")
        try:
            yield pool
        except ConnectionError as error:
            if self.on == LOCAL:
                raise
            raise DeviceError(
                f"the connection to {self.on} was lost ({error})",
                fix="Run the same command again when the cluster is back",
            ) from error
        finally:
            pool.close()
