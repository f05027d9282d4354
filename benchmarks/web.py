"""Measure the cost of fifty viewers: `python benchmarks/web.py`.

The shipped int8 model classifies a drawn 1280x720 stream on one thread, at full speed. Viewers in
a separate process watch it at 640 pixels and 10 frames per second, some of them without ever
reading. Rounds with and without viewers alternate. Limit: with one free core, the loop's frame rate
drops by less than 5 %, median over the rounds.
"""

from __future__ import annotations

import argparse
import os
import selectors
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from edgecat.pets.synthetic import draw_pet
from edgecat.pretrained import INT8
from edgecat_runtime import Classifier
from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.camera.source import Shot, Source
from edgecat_runtime.pipeline import Pipeline
from edgecat_runtime.web import WebPage

BAR = 0.05
_REQUEST = b"GET /stream?width=640&fps=10 HTTP/1.1\r\nHost: localhost\r\n\r\n"
_SETTLE = 1.0


def main() -> int:
    """Print the figures; return 1 if the limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--deaf", type=int, default=10, help="number of viewers that never read")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--seconds", type=float, default=6.0, help="duration of each half of a round"
    )
    parser.add_argument("--watch", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.watch is not None:
        return _watch(given.watch, given.viewers, given.deaf)
    return _measure(given.viewers, given.deaf, given.rounds, given.seconds)


def _measure(viewers: int, deaf: int, rounds: int, seconds: float) -> int:
    cv2.setNumThreads(1)
    page = WebPage("0")
    port = int(page.url.rpartition(":")[2].strip("/"))
    command = [sys.executable, __file__, "--watch", str(port)]
    command += ["--viewers", str(viewers), "--deaf", str(deaf)]
    with (
        Camera(_Drawn()) as camera,
        Classifier.open(INT8, backend="onnxruntime", threads=1) as classifier,
    ):
        pipeline = Pipeline(camera, classifier, [page])
        loop = threading.Thread(target=pipeline.run)
        loop.start()
        try:
            time.sleep(_SETTLE)
            pairs = list(_rounds(pipeline, command, rounds, seconds))
        finally:
            pipeline.stop()
            loop.join()
    loss = 1 - statistics.median(watched / alone for alone, watched in pairs)
    spread = [1 - watched / alone for alone, watched in pairs]
    print(
        f"{viewers} viewers, {deaf} of them not reading, on {os.cpu_count()} cores: the loop's "
        f"frame rate drops by {loss:.1%} (limit {BAR:.0%}; rounds {min(spread):.1%} to "
        f"{max(spread):.1%})"
    )
    return int(loss >= BAR)


def _rounds(
    pipeline: Pipeline, command: list[str], rounds: int, seconds: float
) -> Iterator[tuple[float, float]]:
    """Yield the frame rates without and with viewers, in alternating order."""
    for turn in range(rounds):
        rates: dict[bool, float] = {}
        for watched in (False, True) if turn % 2 else (True, False):
            rates[watched] = _rate(pipeline, command if watched else None, seconds)
        print(f"  {rates[False]:.1f} frames/s without viewers, {rates[True]:.1f} with")
        yield rates[False], rates[True]


def _rate(pipeline: Pipeline, command: list[str] | None, seconds: float) -> float:
    watchers = None
    if command is not None:
        watchers = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
    try:
        if watchers is not None:
            assert watchers.stdout is not None
            watchers.stdout.readline()  # all viewers are connected
        time.sleep(_SETTLE)
        before, start, busy = pipeline.clocks["infer"].count, time.perf_counter(), _server_seconds()
        time.sleep(seconds)
        passed = time.perf_counter() - start
        rate = (pipeline.clocks["infer"].count - before) / passed
        if command is not None:
            print(f"    the server uses {(_server_seconds() - busy) / passed:.1%} of a core")
    finally:
        if watchers is not None:
            told, _ = watchers.communicate("\n")
            print(f"    {told.strip()}")
    time.sleep(_SETTLE)
    return rate


def _server_seconds() -> float:
    """Return the CPU time of the server's threads so far; 0 without /proc."""
    ticks = 0
    for thread in threading.enumerate():
        stat = Path(f"/proc/self/task/{thread.native_id}/stat")
        if thread.name.startswith("edgecat web") and stat.exists():
            ticks += sum(map(int, stat.read_text().rpartition(")")[2].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _watch(port: int, viewers: int, deaf: int) -> int:
    """Watch until a line arrives on standard input; deaf viewers connect and never read."""
    selector = selectors.DefaultSelector()
    sockets = []
    for number in range(viewers):
        sockets.append(socket.create_connection(("127.0.0.1", port)))
        sockets[-1].sendall(_REQUEST)
        if number >= deaf:
            selector.register(sockets[-1], selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    print("connected", flush=True)
    frames, size, start = 0, 0, time.perf_counter()
    while True:
        for key, _ in selector.select():
            if key.fileobj is sys.stdin:
                seconds = time.perf_counter() - start
                each = frames / seconds / max(1, viewers - deaf)
                print(f"per reader {each:.1f} images/s, in total {size / seconds / 1e6:.1f} MB/s")
                return 0
            assert isinstance(key.fileobj, socket.socket)
            data = key.fileobj.recv(1 << 16)
            size += len(data)
            frames += data.count(b"Content-Length: ")
            if not data:
                selector.unregister(key.fileobj)


class _Drawn(Source):
    """Drawn pets as fast as they are read: not live, so that the loop sets the pace."""

    name = "drawn pets"

    def __init__(self) -> None:
        pets = [cv2.resize(draw_pet(seed, seed % 2, 320)[0], (1280, 720)) for seed in range(4)]
        self._frames = [np.asarray(pet, np.uint8) for pet in pets]
        self._count = 0

    def read(self) -> Shot:
        self._count += 1
        return Shot(self._frames[self._count % len(self._frames)].copy())


if __name__ == "__main__":
    sys.exit(main())
