"""One session of `edgecat teach`, from the first capture to the model in use, and 1,000 captures.

    python benchmarks/teach_session.py [--each 40] [--captures 1000]

The real program with a drawn camera that shows a mug and a bottle in turns; this script presses the
page's buttons over HTTP. Limits: a capture changes the live answer within a second (median and 95th
percentile), the model is in use within five minutes of the first capture, the live view keeps 10
frames per second while training runs (5th percentile of the seconds), and memory grows by less than
10 % from the first to the last quarter of 1,000 captures: each adds its features, a fingerprint and
a row to what the head is fitted to. Returns 1 if one is missed.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgecat_runtime.system.child import resident_bytes
from edgecat_runtime.system.machine import cores, processor

SOURCE = "synthetic://things?fps=30&seconds=0.5&seed=2"  # eight seconds of each
COLOURS = {"mug": (60, 60, 200), "bottle": (70, 150, 60)}  # BGR
LATEST, LONGEST, SLOWEST, GROWTH = 1.0, 300.0, 10.0, 0.1
_APART = 0.2  # seconds between captures, as the page's


class Session:
    """A running `edgecat teach`.

    Args:
        folder: for images and runs.
    """

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "edgecat", "teach", *COLOURS, "--source", SOURCE),
                *("--web", "0", "--output", str(folder / "photos"), "--runs", str(folder / "runs")),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        match = re.search(r"http://[^/\s]+", self.process.stderr.readline())
        assert match, self.process.stderr.read()
        self.url = match[0]

    def act(self, action: str, **message: Any) -> dict[str, Any]:
        """Press a button of the page; the new state."""
        request = urllib.request.Request(
            f"{self.url}/panels/teach/{action}",
            json.dumps({"version": -1, **message}).encode(),
            {"Origin": self.url, "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            found: dict[str, Any] = json.load(reply)
        return found

    def camera(self) -> dict[str, Any]:
        """The camera's part of the status."""
        with urllib.request.urlopen(f"{self.url}/api/status", timeout=60) as reply:
            found: dict[str, Any] = json.load(reply)["cameras"][0]
        return found

    def shown(self) -> str:
        """The thing before the camera, by its colour."""
        with urllib.request.urlopen(f"{self.url}/snapshot.jpg", timeout=60) as reply:
            data = np.frombuffer(reply.read(), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert image is not None
        distances = {thing: abs(image.astype(int) - colour) for thing, colour in COLOURS.items()}
        areas = {thing: int((found.max(2) < 45).sum()) for thing, found in distances.items()}
        return max(areas, key=areas.__getitem__)

    def memory(self) -> int:
        """Resident bytes of the program."""
        return resident_bytes(self.process.pid)

    def close(self) -> None:
        """End it as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=60)


def main() -> int:
    """Run the session, print the figures, and return 1 if a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=40, help="images to show of each thing")
    parser.add_argument("--captures", type=int, default=1000)
    asked = parser.parse_args()
    print(f"{processor()}, {cores()} cores")
    with tempfile.TemporaryDirectory() as folder:
        session = Session(Path(folder))
        try:
            _wait(lambda: session.camera()["frames"] > 0, "the first frame", 60)
            began = time.monotonic()
            delays = show(session, asked.each)
            rates, accuracy = train(session)
            session.act("use")
            _wait(lambda: _training(session) == "used", "the model in use", 900)
            whole = time.monotonic() - began
            growth, memory = fill(session, asked.captures)
        finally:
            session.close()
    late = float(np.quantile(delays, 0.95))
    slow = float(np.quantile(rates, 0.05))
    print(
        f"{len(delays)} captures changed the live answer after {statistics.median(delays):.2f} s "
        f"(median), {late:.2f} s (95th percentile); limit {LATEST:g} s"
    )
    print(
        f"frames per second while training: {statistics.median(rates):.1f} (median), {slow:.1f} "
        f"(5th percentile); at least {SLOWEST:g}"
    )
    print(f"accuracy on the images held out: {accuracy:.1%}")
    print(f"from the first capture to the model in use: {whole:.0f} s; limit {LONGEST:.0f} s")
    print(f"memory over {asked.captures} captures: {growth:+.1%}; limit {GROWTH:.0%}")
    print(f"  MB: {' '.join(f'{each / 1e6:.0f}' for each in memory)}")
    good = late <= LATEST and slow >= SLOWEST and whole <= LONGEST and growth < GROWTH
    return int(not good)


def show(session: Session, each: int) -> list[float]:
    """Show both things in two bursts each; the seconds until the live answer knew each image."""
    delays: list[float] = []
    for burst in range(2):
        for number, thing in enumerate(COLOURS):
            for other in (*(set(COLOURS) - {thing}), thing):  # from its beginning
                _wait(partial(_shows, session, other), f"a {other}", 30)
            for _ in range(each // 2):
                began = time.monotonic()
                session.act("capture", label=thing)
                if burst == number == 0:  # the head answers from two classes on
                    time.sleep(_APART)
                    continue
                count = sum(1 for one in session.act("state")["images"] if one[1] == thing)
                while _known(session, thing) < count:
                    time.sleep(0.02)
                frames = session.camera()["frames"]
                while session.camera()["frames"] == frames:
                    time.sleep(0.01)
                delays.append(time.monotonic() - began)
                time.sleep(max(0.0, _APART - delays[-1]))
    return delays


def train(session: Session) -> tuple[list[float], float]:
    """Train to the end; frames per second, counted second by second, and the accuracy."""
    session.act("train")
    rates: list[float] = []
    frames, at = session.camera()["frames"], time.monotonic()
    while (state := session.act("state")["training"])["state"] == "running":
        time.sleep(1.0)
        now, count = time.monotonic(), session.camera()["frames"]
        rates.append((count - frames) / (now - at))
        frames, at = count, now
    if state["state"] != "done":
        raise SystemExit(f"training: {state}")
    return rates, float(state["accuracy"])


def fill(session: Session, captures: int) -> tuple[float, list[int]]:
    """Capture on; how much memory grew from the first to the last quarter, and its samples."""
    memory = []
    for number in range(captures):
        thing = tuple(COLOURS)[number % 2]
        session.act("capture", label=thing)
        if number % max(1, captures // 20) == 0:
            memory.append(session.memory())
        time.sleep(0.04)
    quarter = max(1, len(memory) // 4)
    first, last = (statistics.median(part) for part in (memory[:quarter], memory[-quarter:]))
    return last / first - 1, memory


def _shows(session: Session, thing: str) -> bool:
    return session.shown() == thing


def _known(session: Session, thing: str) -> int:
    figures = session.act("state")["figures"]
    return int(figures[thing]["images"]) if thing in figures else 0


def _training(session: Session) -> str:
    training = session.act("state")["training"]
    if training["state"] == "failed":
        raise SystemExit(f"failed: {training['why']}")
    return str(training["state"])


def _wait(is_true: Callable[[], bool], what: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > end:
            raise SystemExit(f"it never came: {what}")
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
