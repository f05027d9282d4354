"""Test the recovery of a live camera: `python benchmarks/faults.py [--times 50]`.

Real servers on loopback, motion JPEG and RTSP, are killed and restarted, and a motion-JPEG stream
is cut in mid-frame, stalled and filled with garbage, each this many times. Limits: every loss is
counted exactly once; the first frame arrives within 2 s of the stream's return; no threads or
descriptors leak.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import runpy
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.camera.source import SourceOptions

RECOVERY_BAR = 2.0
PATIENCE = 60.0
SERVERS = Path(__file__).parents[1] / "tests" / "runtime"
OPTIONS = SourceOptions(stall=1.0)


class Killed:
    """A server in its own process, which is killed and restarted on its port."""

    def __init__(self, python: str, script: str, address: str) -> None:
        self._command = [python, str(SERVERS / script)]
        self._port = 0
        self.restore()
        self.address = address.format(port=self._port)

    def strike(self) -> None:
        """Kill it with SIGKILL."""
        self._process.kill()
        self._process.communicate()

    def restore(self) -> None:
        """Start it and wait until it prints its port."""
        self._process = subprocess.Popen(
            [*self._command, str(self._port)], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())

    close = strike


class Misbehaving:
    """A motion-JPEG server in this process that misbehaves, then recovers."""

    def __init__(self, mode: str) -> None:
        self._mode = mode
        self._server: Any = runpy.run_path(str(SERVERS / "mjpeg_server.py"))["MjpegServer"]()
        self._server.start()
        self.address: str = self._server.address

    def strike(self) -> None:
        """Start the fault."""
        self._server.mode = self._mode

    def restore(self) -> None:
        """Serve correctly again."""
        self._server.mode = "steady"

    def close(self) -> None:
        """Stop it."""
        self._server.stop()


def main() -> int:
    """Print the figures; return 1 if a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=50, help="repetitions of each fault")
    times = parser.parse_args().times
    logging.getLogger("edgecat_runtime").setLevel(logging.ERROR)
    print(f"{'fault':<28}times  losses  noticed s  back s, median  worst  threads  descriptors")
    faults: list[tuple[str, Callable[[], Killed | Misbehaving]]] = [
        (f"MJPEG, {mode}", lambda mode=mode: Misbehaving(mode))  # type: ignore[misc]
        for mode in ("cut", "stall", "garbage")
    ]
    mjpeg = "http://127.0.0.1:{port}/stream"
    faults.append(("MJPEG, killed", lambda: Killed(sys.executable, "mjpeg_server.py", mjpeg)))
    python = "/usr/bin/python3"
    check = [python, str(SERVERS / "rtsp_server.py"), "--check"]
    if subprocess.run(check, capture_output=True).returncode == 0:
        rtsp = "rtsp://127.0.0.1:{port}/stream"
        faults.append(("RTSP, killed", lambda: Killed(python, "rtsp_server.py", rtsp)))
    else:
        print("RTSP skipped: apt install gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-ugly")
    passed = [_passes(name, start(), times) for name, start in faults]
    return int(not all(passed))


def _passes(name: str, server: Killed | Misbehaving, times: int) -> bool:
    """Repeat one fault, print its line, and return whether the limits are met."""
    noticed, back = [], []
    with Camera.open(server.address, options=OPTIONS) as camera:
        _until(camera, "live")
        threads, descriptors = threading.active_count(), _descriptors()
        for _ in range(times):
            start = perf_counter()
            server.strike()
            _until(camera, "no signal")
            noticed.append(perf_counter() - start)
            server.restore()
            start = perf_counter()
            _until(camera, "live")
            back.append(perf_counter() - start)
        more = threading.active_count() - threads, _descriptors() - descriptors
    server.close()
    print(
        f"{name:<28}{times:>5}{camera.losses:>8}{max(noticed):>11.2f}"
        f"{statistics.median(back):>16.2f}{max(back):>7.2f}{more[0]:>+9}{more[1]:>+13}",
        flush=True,
    )
    return camera.losses == times and max(back) <= RECOVERY_BAR and max(more) <= 2


def _until(camera: Camera, state: str) -> None:
    deadline = perf_counter() + PATIENCE
    while camera.state != state:
        if perf_counter() > deadline:
            raise SystemExit(f"the camera has been {camera.state} for {PATIENCE:.0f} s")
        with contextlib.suppress(TimeoutError):
            camera.read(timeout=0.01)


def _descriptors() -> int:
    return len(os.listdir("/dev/fd")) if Path("/dev/fd").exists() else 0  # noqa: PTH208


if __name__ == "__main__":
    sys.exit(main())
