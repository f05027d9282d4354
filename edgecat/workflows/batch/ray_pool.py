"""Workers as Ray actors, anywhere in a cluster.

Actors are never restarted by Ray (`max_restarts=0`): a part must not be repeated behind the
coordinator's back. An actor that dies, alone or with its node, is replaced by a new one, which
Ray starts wherever a CPU is free. The model travels through Ray's object store, once per node; the
images do not, if the node sees the same files.
"""

from __future__ import annotations

import io
import logging
import os
from contextlib import ExitStack, redirect_stdout, suppress
from dataclasses import replace
from pathlib import Path
from textwrap import shorten
from typing import Any

from edgecat.workflows.batch.clusters import START_ONE, unusable
from edgecat.workflows.batch.pool import (
    STARTS,
    Done,
    Event,
    Lost,
    Started,
    Unusable,
    cannot_start,
)
from edgecat.workflows.batch.reading import Reader
from edgecat.workflows.batch.tasks import Rows, Task
from edgecat.workflows.batch.worker import Failed, Ready, Setup, Worker
from edgecat.workflows.reporter import Reporter
from edgecat_runtime.model.trust import VARIABLE

log = logging.getLogger("edgecat")

_ON_EVERY_NODE = "Install the same versions on every node: pip install 'edgecat[ray,onnx,headless]'"
_LONGEST_REASON = 240
_PATIENCE_SECONDS = 30.0  # without any worker, until the user is told


class Actor:
    """The worker inside a Ray actor; errors are returned, not raised."""

    def __init__(self) -> None:
        self._worker: Worker | None = None

    def start(self, setup: Setup) -> Ready | Failed:
        """Open the model."""
        try:
            self._worker = Worker(setup)
        except Exception as error:  # the driver reports it
            return Failed.because(error)
        return self._worker.ready

    def run(self, task: Task) -> Rows | Failed:
        """Classify a task."""
        assert self._worker is not None
        try:
            return self._worker.run(task)
        except Exception as error:
            return Failed.because(error)


class RayPool:
    """Ray actors; see `Pool`.

    Args:
        setup: how each of them opens the model.
        address: of a cluster, as `ray.init` takes it; `local` starts one for this run.
        size: number of actors; None: one per CPU of the cluster, or per GPU for a model on a GPU.
        reporter: receives a warning where something costs time.

    Raises:
        UserError: no cluster at the address, or one that cannot be used from here.
    """

    kind, kinds = "Ray worker", "Ray workers"

    def __init__(self, setup: Setup, address: str, size: int | None, reporter: Reporter) -> None:
        sent = portable(setup)
        self._open = ExitStack()
        self._open.enter_context(redirect_stdout(_Notices()))
        try:
            self._ray, self._own = _connected(address)
        except BaseException:
            self._open.close()
            raise
        gpu = setup.device != "cpu"
        unit = "GPU" if gpu else "CPU"
        self.size = size or max(1, int(self._ray.cluster_resources().get(unit, 1)))
        self._reporter = reporter
        self._setup = self._ray.put(sent)
        self._actor = self._ray.remote(Actor).options(
            num_cpus=1,
            num_gpus=int(gpu),
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy="SPREAD",
        )
        self._reader = Reader()
        self._waiting: dict[Any, tuple[Any, Task | None]] = {}  # the actor and what it has
        self._free: list[Any] = []
        self._blind: dict[Any, str] = {}  # actors that do not see the input files
        self._failures = 0  # to start, one after another
        self._told = False
        for _ in range(self.size):
            self._start()

    def _start(self) -> None:
        actor = self._actor.remote()
        self._waiting[actor.start.remote(self._setup)] = (actor, None)

    def submit(self, task: Task) -> None:
        """Hand a task to a free actor."""
        actor = self._free.pop()
        sent = task
        if actor in self._blind:
            sent = replace(task, contents=self._reader.contents(task))
        self._waiting[actor.run.remote(sent)] = (actor, task)

    def wait(self) -> Event:
        """Wait for something to happen."""
        while True:
            finished, _ = self._ray.wait(list(self._waiting), timeout=_PATIENCE_SECONDS)
            if not finished:
                self._tell_of_waiting()
                continue
            actor, task = self._waiting.pop(finished[0])
            event = self._event(actor, task, self._result(finished[0]))
            if event is not None:
                return event

    def _event(self, actor: Any, task: Task | None, answer: Any) -> Event | None:
        if task is not None and isinstance(answer, Rows):
            self._free.append(actor)
            return Done(task, answer)
        if isinstance(answer, Ready):
            self._failures = 0
            self._free.append(actor)
            if answer.missing:
                self._send_images_to(actor, answer)
            return Started()
        with suppress(Exception):
            self._ray.kill(actor)
        if task is not None:
            self._start()
            return Lost(task, answer.reason)
        if answer.error:
            return Unusable(answer.error)
        self._failures += 1
        if self._failures >= STARTS:
            return Unusable(cannot_start(self.kind, answer.reason, _ON_EVERY_NODE))
        self._start()
        return None

    def _result(self, reference: Any) -> Any:
        """What an actor returned; `Failed` if it is gone, or its result is."""
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            return Failed(_reason(error))

    def _send_images_to(self, actor: Any, ready: Ready) -> None:
        if not self._blind:
            self._reporter.warn(
                f"{ready.host} does not see {ready.missing}: its images are sent over the network. "
                "Put the data on storage that every node mounts under the same path for full speed"
            )
        self._blind[actor] = ready.host

    def _tell_of_waiting(self) -> None:
        if not self._told and all(task is None for _, task in self._waiting.values()):
            self._told = True
            self._reporter.warn(
                f"no worker could be started for {_PATIENCE_SECONDS:.0f} s: the cluster has no "
                "free CPU (ray status shows what is in use). Still waiting"
            )

    def close(self) -> None:
        """End the actors, and the cluster if it was started for this run."""
        for actor in [*self._free, *(actor for actor, _ in self._waiting.values())]:
            with suppress(Exception):
                self._ray.kill(actor)
        if self._own:
            self._ray.shutdown()
        self._open.close()


def _connected(address: str) -> tuple[Any, bool]:
    """The `ray` module, connected, and whether it was connected here."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # no advice about it
    import ray

    if ray.is_initialized():
        return ray, False
    options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if address == START_ONE:
        options["include_dashboard"] = False
    # Ray's client server starts a process for every client, which now and then dies before it runs
    # (a fork beside the threads of gRPC): another attempt, after up to a minute, gets another one.
    attempts = 3 if address.startswith("ray://") else 1
    while True:
        try:
            ray.init(address, **options)
            return ray, True
        except Exception as error:  # noqa: PERF203 - each layer of Ray has its own
            attempts -= 1
            if not attempts:
                raise unusable(address, _reason(error)) from error
            ray.shutdown()


def portable(setup: Setup) -> Setup:
    """Return the setup with the model file and the trusted keys in it, for other machines."""
    trust = None
    if keys := os.environ.get(VARIABLE):
        place = Path(keys)
        files = sorted(place.glob("*.pub")) if place.is_dir() else [place]
        text = b"\n".join(file.read_bytes() for file in files)
        trust = (place.name, text)
    return replace(setup, content=Path(setup.model).read_bytes(), trust=trust)


def _reason(error: BaseException) -> str:
    """What an error of Ray's says at its end, without its advice; it begins with identifiers."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = lines[-1] if lines else type(error).__name__
    return shorten(said.partition(" Some common causes")[0], _LONGEST_REASON, placeholder=" ...")


class _Notices(io.TextIOBase):
    """Takes what Ray prints on standard output, which belongs to the results: lost nodes."""

    def write(self, text: str) -> int:
        """Log it."""
        if text.strip():
            log.debug("Ray: %s", text.strip())
        return len(text)
