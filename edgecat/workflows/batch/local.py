"""Workers as processes of this machine.

Each process is led by a thread of the driver that speaks to it through two pipes, so that the end
of the process is the end of a file. The processes end with the driver, even if that is killed.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, BinaryIO

from edgecat.workflows.batch.pool import (
    STARTS,
    Done,
    Event,
    Lost,
    Started,
    Unusable,
    cannot_start,
)
from edgecat.workflows.batch.tasks import Rows, Task
from edgecat.workflows.batch.worker import Failed, Ready, Setup, Worker
from edgecat_runtime.errors import DeviceError
from edgecat_runtime.system.child import limit_child, signal_name

_PROGRAM = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from edgecat.workflows.batch.local import serve; serve()"
)
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class LocalPool:
    """Processes of this machine; see `Pool`.

    Args:
        setup: how each of them opens the model.
        size: their number.
    """

    kind, kinds = "local process", "local processes"

    def __init__(self, setup: Setup, size: int) -> None:
        self.size = size
        self._setup = setup
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._closing = False
        self._threads = [
            Thread(target=self._lead, args=(seat,), daemon=True) for seat in range(size)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, task: Task) -> None:
        """Queue a task for the next free process."""
        self._tasks.put(task)

    def wait(self) -> Event:
        """Wait for something to happen."""
        return self._events.get()

    def close(self) -> None:
        """Kill the processes: nothing they hold is lost."""
        self._closing = True
        for _ in self._threads:
            self._tasks.put(None)
        for child in list(self._children.values()):
            child.kill()
        for thread in self._threads:
            thread.join()

    def _lead(self, seat: int) -> None:
        """Start a process again and again; each takes tasks until it ends."""
        failures = 0
        while not self._closing:
            try:
                child = self._children[seat] = self._started()
            except OSError as error:
                self._events.put(Unusable(self._cannot_start(error.strerror or str(error))))
                return
            try:
                if self._closing:  # which did not see this child
                    return
                answer = _answer(child)
                if isinstance(answer, Ready):
                    failures = 0
                    self._events.put(Started())
                    self._serve(child)
                    continue
                failures += 1
                if answer.error or failures == STARTS:
                    refusal = answer.error or self._cannot_start(answer.reason)
                    self._events.put(Unusable(refusal))
                    return
            finally:
                _end(child)

    def _cannot_start(self, reason: str) -> DeviceError:
        fix = "Try the model alone, edgecat classify IMAGE, or use fewer --workers"
        return cannot_start(self.kind, reason, fix)

    def _serve(self, child: subprocess.Popen[bytes]) -> None:
        """Carry tasks to a process until it fails at one, or there are no more."""
        while (task := self._tasks.get()) is not None:
            with suppress(OSError):
                _send(child, task)
            answer = _answer(child)
            if isinstance(answer, Rows):
                self._events.put(Done(task, answer))
            else:
                self._events.put(Lost(task, answer.reason))
                return

    def _started(self) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **_ONE_THREAD},
            start_new_session=True,  # the terminal's Ctrl-C is the driver's
        )
        with suppress(OSError):
            _send(child, sys.path)
            _send(child, (os.getpid(), self._setup))
        return child


def _send(child: subprocess.Popen[bytes], value: object) -> None:
    assert child.stdin is not None
    pickle.dump(value, child.stdin)
    child.stdin.flush()


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    for pipe in (child.stdin, child.stdout):
        with suppress(OSError):  # what was not sent yet
            pipe.close() if pipe else None
    child.wait()


def _answer(child: subprocess.Popen[bytes]) -> Any:
    """What the process sends next; `Failed` if it ends instead."""
    assert child.stdout is not None
    try:
        return pickle.load(child.stdout)
    except Exception:  # the end of the pipe, or half an answer, which may be anything
        child.kill()
        code = child.wait()
        return Failed(signal_name(-code) if code < 0 else f"exit code {code}")


# Run in the child process.


def serve() -> None:
    """In the child: open the model, then answer tasks until the driver is gone."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints does not go among the answers
    parent, setup = pickle.load(requests)
    if sys.platform != "win32":
        limit_child(parent, nice=0)
    try:
        worker = Worker(setup)
    except Exception as error:  # the driver reports it
        _reply(answers, Failed.because(error))
        return
    _reply(answers, worker.ready)
    while True:
        try:
            task = pickle.load(requests)
        except EOFError:
            os._exit(0)  # native libraries may crash or hang while they are unloaded
        try:
            answer: object = worker.run(task)
        except Exception as error:
            answer = Failed.because(error)
        _reply(answers, answer)


def _reply(answers: BinaryIO, value: object) -> None:
    pickle.dump(value, answers)
    answers.flush()
