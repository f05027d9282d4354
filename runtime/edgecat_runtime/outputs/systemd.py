"""The loop's state for systemd: ready, alive, status, stopping (sd_notify(3))."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.camera.frames import StatusEvent
from edgecat_runtime.loop.answers import Answer
from edgecat_runtime.model.status import Status
from edgecat_runtime.outputs.sink import Sink

_SECONDS = 1.0


class Systemd(Sink):
    """READY=1 with the first answer, then WATCHDOG=1 every second, only while frames arrive.

    A unit with `Type=notify` and `WatchdogSec=30` is thus restarted when no frame was classified
    for 30 s, whatever hangs. Outside of systemd this does nothing.
    """

    name = "the watchdog"
    inline = True  # a background thread would keep running while the loop hangs

    def __init__(self) -> None:
        self._told: float | None = None

    def write(self, answer: Answer, picture: NDArray[np.uint8]) -> None:
        """Report that frames are being classified, once per second."""
        now = monotonic()
        if self._told is None:
            notify("READY=1", "STATUS=receiving frames")
        if self._told is None or now - self._told >= _SECONDS:
            self._told = now
            notify("WATCHDOG=1")

    def signal(self, signal: StatusEvent) -> None:
        """Set what `systemctl status` shows."""
        if signal.state == "lost":
            notify(f"STATUS={Status.NO_SIGNAL}: {signal.reason}")
        elif signal.state == "frozen":
            notify(f"STATUS=frozen: {signal.reason}")
        elif signal.state in ("back", "switched", "moving"):
            notify("STATUS=receiving frames")

    def close(self) -> None:
        """Report that the loop is stopping."""
        notify("STOPPING=1")


def notify(*states: str) -> None:
    """Send assignments such as `READY=1` to systemd; does nothing if it is not listening."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@") or not hasattr(socket, "AF_UNIX"):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.sendto("\n".join(states).encode(), address.replace("@", "\0", 1))
