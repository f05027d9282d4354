"""A function run in a child process with limits on time and memory: whatever it does to itself.

The child dies with its parent, runs at a lower priority, is the first that the kernel ends when
memory runs out, and leaves no core dump.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from time import monotonic, sleep
from typing import Any

_LOOK_SECONDS = 0.02
_NICE = 5
_PR_SET_PDEATHSIG = 1
_LONGEST_REPLY = 60_000  # fits into a pipe, so that the child never waits for its parent
_PROGRAM = (
    "import json, sys; request = json.load(sys.stdin); sys.path[:] = request['path']; "
    "from edgecat_runtime.system.child import answer; answer(request)"
)


class ChildFailed(Exception):
    """The function raised, or its process crashed or exceeded a limit; the message says which.

    Attributes:
        kind: name of the exception's class; empty unless it raised.
    """

    def __init__(self, message: str, *, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind


class ChildUnavailable(Exception):
    """No child process can be started here; the message says why."""


class ChildCancelled(Exception):
    """The child was ended because its result is no longer wanted."""


def in_child(
    function: str,
    arguments: Mapping[str, object],
    *,
    seconds: float,
    memory: int,
    cancelled: Callable[[], bool] = lambda: False,
) -> Any:
    """Run a function in a child process and return its result.

    Args:
        function: what to call, as `module:name`.
        arguments: its keyword arguments, JSON-ready.
        seconds: limit on its run time, its imports included.
        memory: limit on its resident memory in bytes, where the system has `/proc`.
        cancelled: asked while it runs; if it returns true, the child is ended.

    Raises:
        ChildFailed: the function raised, crashed its process or exceeded a limit.
        ChildUnavailable: a child cannot be started here.
        ChildCancelled: `cancelled` returned true.
    """
    program = sys.executable or ""
    if sys.platform == "win32" or not Path(program).name.startswith(("python", "pypy")):
        raise ChildUnavailable("a Python interpreter cannot be started from this program")
    reading, writing = os.pipe()
    try:
        process = subprocess.Popen(
            [program, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(writing,),
            start_new_session=True,
        )
    except OSError as error:
        os.close(reading)
        raise ChildUnavailable(f"no process can be started: {error.strerror}") from error
    finally:
        os.close(writing)
    with process, open(reading, "rb") as reply:  # noqa: PTH123  (a descriptor)
        try:
            _ask(process, function, arguments, writing)
            _wait(process, monotonic() + seconds, memory, cancelled, seconds)
        finally:
            process.kill()
            process.wait()
        return _result(process.returncode, reply.read(_LONGEST_REPLY))


def _ask(
    process: subprocess.Popen[bytes],
    function: str,
    arguments: Mapping[str, object],
    descriptor: int,
) -> None:
    request = {
        "path": sys.path,
        "parent": os.getpid(),
        "reply": descriptor,
        "function": function,
        "arguments": arguments,
    }
    assert process.stdin is not None
    with suppress(BrokenPipeError), process.stdin as pipe:
        pipe.write(json.dumps(request).encode())


def _wait(
    process: subprocess.Popen[bytes],
    deadline: float,
    memory: int,
    cancelled: Callable[[], bool],
    seconds: float,
) -> None:
    while process.poll() is None:
        if cancelled():
            raise ChildCancelled
        if resident_bytes(process.pid) > memory:
            raise ChildFailed(f"it needs more than {memory / 1e9:.1f} GB of memory")
        if monotonic() > deadline:
            raise ChildFailed(f"it takes longer than {seconds:.0f} s")
        sleep(_LOOK_SECONDS)


def resident_bytes(pid: int) -> int:
    """A process's resident memory; 0 if it is gone or the system has no `/proc`."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_bytes().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _result(code: int, reply: bytes) -> Any:
    if code < 0:
        raise ChildFailed(f"it crashes its process ({signal_name(-code)})")
    try:
        result = json.loads(reply)
    except ValueError as error:
        raise ChildFailed(f"its process ends with code {code}") from error
    if "error" in result:
        raise ChildFailed(result["error"], kind=result["kind"])
    return result["value"]


def signal_name(number: int) -> str:
    """A signal's name such as SIGSEGV."""
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


# Run in the child process.


def answer(request: Mapping[str, Any]) -> None:
    """In the child: accept the limits, call the function and send its result."""
    limit_child(request["parent"])
    try:
        module, _, name = request["function"].partition(":")
        result = {"value": getattr(import_module(module), name)(**request["arguments"])}
    except Exception as error:  # the parent reports it
        message = " ".join(str(error).split()) or type(error).__name__
        result = {"error": message[: _LONGEST_REPLY // 12], "kind": type(error).__name__}
    os.write(request["reply"], json.dumps(result).encode())
    os._exit(0)  # native libraries may crash or hang while they are unloaded


def limit_child(parent: int, *, nice: int = _NICE) -> None:
    """Lower this process's priority, leave no core dump, and end it when its parent ends."""
    import resource

    os.nice(nice)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
