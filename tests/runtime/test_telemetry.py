"""Nothing is sent anywhere: engines run under an empty home, and no internet socket is opened."""

import ctypes
import os
import platform
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from edgecat_runtime.system.telemetry import import_onnxruntime, import_openvino

SYSCALL_SOCKET = {"x86_64": 41, "aarch64": 198}

# Kills the process at its first IPv4 or IPv6 socket, in Python or native code: a seccomp filter
# (seccomp(2)). Then classifies a frame, and imports what OpenVINO's converter would import.
CHILD = """
import ctypes, struct, sys
load, jump, give = 0x20, 0x15, 0x06
def step(code, true, false, value): return struct.pack("HBBI", code, true, false, value)
program = b"".join((
    step(load, 0, 0, 0), step(jump, 0, 4, {number}),  # the system call's number
    step(load, 0, 0, 16), step(jump, 1, 0, 2), step(jump, 0, 1, 10),  # AF_INET, AF_INET6
    step(give, 0, 0, 0x80000000), step(give, 0, 0, 0x7FFF0000),  # kill the process; allow
))
buffer = ctypes.create_string_buffer(program, len(program))
filter = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
libc = ctypes.CDLL(None, use_errno=True)
prctl = lambda *a: libc.prctl(*map(ctypes.c_ulong, a[:2]), a[2], *map(ctypes.c_ulong, (0, 0)))
if prctl(38, 1, ctypes.c_ulong(0)) or prctl(22, 2, ctypes.c_char_p(filter)):
    sys.exit(77)
{work}
"""

CLASSIFY = """
import time
import numpy as np
from edgecat_runtime import Classifier
with Classifier.open({path!r}, backend={backend!r}, device="cpu") as classifier:
    print(classifier.classify(np.zeros((64, 64, 3), np.uint8)).label)
time.sleep(1)  # telemetry has a thread of its own
"""

OPEN_SOCKET = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)"


def run_without_network(work: str, home: Path) -> subprocess.CompletedProcess[str]:
    number = SYSCALL_SOCKET.get(platform.machine())
    if sys.platform != "linux" or number is None or struct.calcsize("P") != 8:
        pytest.skip("seccomp filters are written here for Linux on x86-64 and aarch64")
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")}
    ran = subprocess.run(
        [sys.executable, "-c", CHILD.format(number=number, work=work)],
        env={**kept, "HOME": str(home), "EDGECAT_CACHE": str(home.parent / "cache")},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=300,
    )
    if ran.returncode == 77:
        pytest.skip("this system refuses seccomp filters")
    return ran


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "opencv"])
def test_an_engine_leaves_no_file_and_opens_no_socket(tiny_onnx, tmp_path, backend):
    pytest.importorskip({"opencv": "cv2"}.get(backend, backend))
    home = tmp_path / "home"
    home.mkdir()
    ran = run_without_network(CLASSIFY.format(path=str(tiny_onnx), backend=backend), home)
    assert ran.returncode == 0, ran.stderr or signal.Signals(-ran.returncode).name
    assert ran.stdout.strip()
    assert [str(path) for path in home.rglob("*") if path.is_file()] == []


def test_the_guard_itself_kills(tmp_path):
    assert run_without_network(OPEN_SOCKET, tmp_path).returncode == -signal.SIGSYS


def test_onnxruntime_is_imported_with_telemetry_off(monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    assert import_onnxruntime().__name__ == "onnxruntime"
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


def test_the_telemetry_of_others_is_put_back(monkeypatch):
    pytest.importorskip("openvino")
    for name in [*sys.modules]:
        if name.partition(".")[0] == "openvino_telemetry":
            monkeypatch.delitem(sys.modules, name)
    other = ctypes
    monkeypatch.setitem(sys.modules, "openvino_telemetry", other)
    assert import_openvino().__name__ == "openvino"
    assert sys.modules["openvino_telemetry"] is other
