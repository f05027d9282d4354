"""Measure end-to-end latency, the age of a frame at its prediction: `python benchmarks/latency.py`.

A camera with 60 frames per second and a network with 20. Limits: the 95th percentile of the frame
age at its prediction stays below that of the network time plus two frame periods, and
its excess over the network time does not grow. For comparison, a plain read loop processes the same
stream frame by frame, as behind a driver or server that queues unread
frames: its latency drifts. Both go into a plot (`--plot latency.svg`, needs matplotlib).
"""

from __future__ import annotations

import argparse
import itertools
import math
import platform
import queue
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, sleep

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime import Classifier, ModelCard
from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.camera.source import Shot, Source
from edgecat_runtime.pipeline import Pipeline
from edgecat_runtime.system.machine import this_machine
from edgecat_runtime.types import Image

FPS, NETWORK_SECONDS = 60, 0.05
PERIOD = 1 / FPS
_PARTS = 10


@dataclass
class Ages:
    """Ages of frames at their predictions, and the times of the predictions, in seconds.

    `beside` is the excess of an age over the network time.
    """

    times: list[float] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)

    def add(self, start: float, captured: float, now: float, network: float) -> None:
        """Add one prediction with its network time in seconds."""
        self.times.append(now - start)
        self.ages.append(now - captured)
        self.beside.append(now - captured - network)

    def p95(self) -> float:
        """Return the 95th percentile of all ages."""
        return float(np.percentile(self.ages, 95))

    def parts(self, count: int, of: list[float]) -> list[float]:
        """Return the 95th percentile for each of this many intervals of equal length."""
        place = np.minimum(np.array(self.times) / self.times[-1] * count, count - 1).astype(int)
        values = np.array(of)
        stretches = (values[place == part] for part in range(count))
        return [float(np.percentile(each, 95)) if each.size else math.nan for each in stretches]


def main() -> int:
    """Print the figures; return 1 if a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--plot", type=Path, help="path of an SVG plot to write")
    given = parser.parse_args()
    print(f"{this_machine()}. Python {platform.python_version()}\n")
    ours, plain, network = measured(given.seconds)
    bar = network + 2 * PERIOD
    parts = ours.parts(_PARTS, ours.beside)
    growth = parts[-1] - parts[0]
    print(f"network: p95 {network * 1e3:.1f} ms; source: {FPS} frames per second")
    print(f"age at the prediction: p95 {ours.p95() * 1e3:.1f} ms (limit {bar * 1e3:.1f})")
    tenths = " ".join(f"{part * 1e3:.0f}" for part in parts)
    print(f"  excess over the network, p95 for each tenth of the run: {tenths}")
    print(f"  last minus first: {growth * 1e3:+.1f} ms (limit {PERIOD * 1e3:.1f})")
    print(f"a plain read loop after {given.seconds:.0f} s: {plain.ages[-1]:.1f} s")
    if given.plot is not None:
        _plot(given.plot, ours, plain, bar)
    return int(not (ours.p95() < bar and growth < PERIOD))


def measured(seconds: float) -> tuple[Ages, Ages, float]:
    """Return the ages for the pipeline and for a plain loop, and the network's p95 in seconds."""
    start = perf_counter()
    plain = Ages()
    beside = threading.Thread(target=_plain, args=(start, seconds, plain))
    beside.start()
    ours, network = Ages(), Network()
    card = ModelCard("none", ("cat", "dog"), 224, 224)
    with Camera(Stream()) as camera:
        for answer in Pipeline(camera, Classifier(network, card)):
            now = answer.frame.captured + answer.age
            ours.add(start, answer.frame.captured, now, network.seconds[-1])
            if now - start > seconds:
                break
    beside.join()
    return ours, plain, float(np.percentile(network.seconds, 95))


def _plain(start: float, seconds: float, ages: Ages) -> None:
    """Read and classify frame by frame: unread frames are queued."""
    kept: queue.SimpleQueue[tuple[float, Image] | None] = queue.SimpleQueue()

    def feed() -> None:
        source = Stream()
        while perf_counter() - start < seconds:
            image = source.read().image
            kept.put((perf_counter(), image))
        kept.put(None)

    threading.Thread(target=feed, daemon=True).start()
    network = Network()
    while perf_counter() - start < seconds and (item := kept.get()) is not None:
        captured, image = item
        network.infer(image[None])
        ages.add(start, captured, perf_counter(), network.seconds[-1])


class Stream(Source):
    """A camera with 60 frames per second, 1280x720."""

    name, live = "the stream", True

    def __init__(self) -> None:
        levels = (np.full((720, 1280, 3), level, np.uint8) for level in range(0, 256, 64))
        self._frames = itertools.cycle(list(levels))
        self._due = perf_counter()

    def read(self) -> Shot:
        """Wait until the next frame is due."""
        self._due += PERIOD
        sleep(max(0.0, self._due - perf_counter()))
        return Shot(next(self._frames))


class Network:
    """A backend that takes 50 ms, without using the CPU, like an accelerator."""

    name = "none"

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def infer(self, frames: Image) -> NDArray[np.float32]:
        """Classify a batch of any size."""
        start = perf_counter()
        sleep(NETWORK_SECONDS)
        self.seconds.append(perf_counter() - start)
        return np.tile(np.array([1, 0], np.float32), (len(frames), 1))

    def close(self) -> None:
        """Do nothing: there is nothing to free."""


def _plot(path: Path, ours: Ages, plain: Ages, bar: float) -> None:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3.2), layout="constrained")
    for ages, label, colour in (
        (plain, "plain read loop", "#d1495b"),
        (ours, "edgecat", "#2e7d5b"),
    ):
        parts = ages.parts(60, ages.ages)
        times = np.linspace(0, ages.times[-1], 60)
        axes.plot(times, np.array(parts) * 1e3, label=label, color=colour)
    axes.axhline(bar * 1e3, color="#888888", lw=0.8, ls="--", label="network + two frame periods")
    axes.set(yscale="log", xlabel="seconds", ylabel="age of the frame at its prediction, p95, ms")
    axes.grid(visible=True, color="#dddddd", lw=0.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(frameon=False, loc="center right")
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    sys.exit(main())
