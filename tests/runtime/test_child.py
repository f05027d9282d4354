"""A function in a child process with limits."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgecat_runtime.system.child import (
    ChildCancelled,
    ChildFailed,
    ChildUnavailable,
    in_child,
    resident_bytes,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")
NO_PROC = pytest.mark.skipif(not Path("/proc").is_dir(), reason="there is no /proc here")
GB = 1 << 30
SLEEP = {"args": ["sleep", "1000"]}
FAULTS = """
import ctypes, os, time
def crash(): ctypes.string_at(0)
def leave(): os._exit(7)
def fill(): kept = [bytearray(b"x" * 10**7) for _ in range(10**5)]
def linger(note):
    with open(note, "w") as file: file.write(str(os.getpid()))
    time.sleep(1000)
"""


@pytest.fixture
def faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module `faults`, which children find on the parent's `sys.path`."""
    (tmp_path / "faults.py").write_text(FAULTS)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_its_result_comes_back() -> None:
    assert in_child("os.path:basename", {"p": "a/\udcff"}, seconds=120, memory=GB) == "\udcff"


def test_what_it_raises_is_named() -> None:
    with pytest.raises(ChildFailed, match="No module named 'nowhere'") as raised:
        in_child("nowhere:name", {}, seconds=120, memory=GB)
    assert raised.value.kind == "ModuleNotFoundError"


def test_a_crash_is_named(faults: Path) -> None:
    with pytest.raises(ChildFailed, match=r"crashes its process \(SIGSEGV\)"):
        in_child("faults:crash", {}, seconds=120, memory=GB)


def test_an_exit_is_named(faults: Path) -> None:
    with pytest.raises(ChildFailed, match="its process ends with code 7"):
        in_child("faults:leave", {}, seconds=120, memory=GB)


def test_a_hang_is_ended() -> None:
    with pytest.raises(ChildFailed, match="takes longer than 1 s"):
        in_child("subprocess:call", SLEEP, seconds=1, memory=GB)


@NO_PROC
def test_memory_is_limited(faults: Path) -> None:
    with pytest.raises(ChildFailed, match=r"needs more than 0\.2 GB of memory"):
        in_child("faults:fill", {}, seconds=120, memory=200_000_000)
    assert resident_bytes(os.getpid()) > 0


def test_it_can_be_cancelled() -> None:
    with pytest.raises(ChildCancelled):
        in_child("subprocess:call", SLEEP, seconds=120, memory=GB, cancelled=lambda: True)


def test_a_program_that_is_not_python_has_no_children(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("/usr/bin/some-program", "", None):
        monkeypatch.setattr(sys, "executable", name)
        with pytest.raises(ChildUnavailable, match="cannot be started from this program"):
            in_child("os:getpid", {}, seconds=120, memory=GB)


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_it_ends_with_its_parent(faults: Path) -> None:
    note = faults / "pid"
    program = (
        f"import sys; sys.path.insert(0, {str(faults)!r})\n"
        "from edgecat_runtime.system.child import in_child\n"
        f"in_child('faults:linger', {{'note': {str(note)!r}}}, seconds=900, memory=1 << 40)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program])
    deadline = time.monotonic() + 120
    while not (note.is_file() and note.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    while _runs(int(note.read_text())):
        assert time.monotonic() < deadline, "the child outlives its parent"
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
