"""Soak test of the loop: `python benchmarks/soak.py [--frames 1000000]`.

A million drawn 320x240 frames are replayed through a dummy network, with the
overlay drawn, an events file with one line per thousand frames, and a function as an
output; every frame is classified. Limits: half an hour; memory grows by under 1 % from the first to
the last quarter of twenty samples, at their medians (a few frames are always in flight); no change
in threads or descriptors.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import statistics
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edgecat.pets.synthetic import draw_pet
from edgecat_runtime import Classifier, ModelCard
from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.camera.source import Shot, Source
from edgecat_runtime.loop.answers import Answer
from edgecat_runtime.outputs.callback import CallbackSink
from edgecat_runtime.outputs.events import Events
from edgecat_runtime.outputs.sink import Sink
from edgecat_runtime.pipeline import Pipeline
from edgecat_runtime.system.machine import resident_bytes, this_machine
from edgecat_runtime.types import Image

GROWTH_BAR, SECONDS_BAR = 0.01, 1800
LOOKS = 20
_CHANGE = 1000


class Look(NamedTuple):
    """A sample of the process: memory in bytes, threads, open descriptors."""

    memory: int
    threads: int
    descriptors: int


@dataclass(frozen=True)
class Soaked:
    """The results of a run.

    Attributes:
        frames: number of frames classified.
        seconds: duration.
        looks: samples of the process, after each twentieth of the frames.
        called: number of calls of the function.
        events: number of lines in the events file.
    """

    frames: int
    seconds: float
    looks: tuple[Look, ...]
    called: int
    events: int

    @property
    def growth(self) -> float:
        """Relative memory growth from the first to the last quarter of the samples."""
        memory = [look.memory for look in self.looks]
        quarter = len(memory) // 4
        return statistics.median(memory[-quarter:]) / statistics.median(memory[:quarter]) - 1

    @property
    def steady(self) -> bool:
        """Whether threads and descriptors were constant."""
        return len({look[1:] for look in self.looks}) == 1


def main() -> int:
    """Print the figures; return 1 if a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000)
    frames = parser.parse_args().frames
    print(f"{this_machine()}. Python {platform.python_version()}, OpenCV {cv2.__version__}\n")
    run = soaked(frames)
    rate = run.frames / run.seconds
    print(f"{run.frames:,} frames in {run.seconds:.0f} s, {rate:,.0f} per second")
    print(f"memory, MB: {' '.join(f'{look.memory / 1e6:.1f}' for look in run.looks)}")
    print(f"  grew by {run.growth:.2%} (limit {GROWTH_BAR:.0%})")
    first = run.looks[0]
    held = "throughout" if run.steady else "at the start, then changed"
    print(f"{first.threads} threads and {first.descriptors} descriptors {held}")
    complete = run.frames == run.called == frames
    in_time = run.seconds <= SECONDS_BAR * max(1.0, frames / 1e6)
    return int(not (complete and in_time and run.steady and run.growth < GROWTH_BAR))


def soaked(frames: int) -> Soaked:
    """Run the loop over this many frames and sample the process twenty times."""
    called = 0

    def count(answer: Answer) -> None:
        nonlocal called
        called += 1

    with tempfile.TemporaryDirectory() as folder, Camera(Replay()) as camera:
        events = Path(folder) / "events.jsonl"
        sinks: list[Sink] = [Overlaid(), Events(events), CallbackSink(count)]
        card = ModelCard("none", ("cat", "dog"), 32, 32)
        classifier = Classifier(Null(), card)
        pipeline = Pipeline(camera, classifier, sinks, smooth=False, max_frames=frames)
        looks, start = [], perf_counter()
        for number, _ in enumerate(pipeline, 1):
            if number % (frames // LOOKS) == 0:
                looks.append(_look())
        seconds = perf_counter() - start
        lines = events.read_text().count("\n")
    return Soaked(pipeline.summary.frames, seconds, tuple(looks), called, lines)


def _look() -> Look:
    descriptors = len(os.listdir("/dev/fd"))  # noqa: PTH208
    return Look(resident_bytes(), threading.active_count(), descriptors)


class Replay(Source):
    """Drawn pets of 320x240, repeated; each frame is a new array."""

    name = "the replay"

    def __init__(self) -> None:
        pets = (draw_pet(seed, seed % 2, 240)[0] for seed in range(16))
        pictures = [np.asarray(cv2.resize(pet, (320, 240)), np.uint8) for pet in pets]
        self._pictures = itertools.cycle(pictures)

    def read(self) -> Shot:
        """Return the next one."""
        return Shot(next(self._pictures).copy())


class Null:
    """A dummy backend that changes its prediction every thousand frames."""

    name = "null"

    def __init__(self) -> None:
        self._count = 0

    def infer(self, frames: Image) -> NDArray[np.float32]:
        """Classify a batch of one."""
        self._count += 1
        cat = self._count // _CHANGE % 2
        return np.array([[4 * cat, 4 - 4 * cat]], np.float32)

    def close(self) -> None:
        """Do nothing: there is nothing to free."""


class Overlaid(Sink):
    """An output that requests the overlay."""

    wants_overlay = True

    def write(self, answer: Answer, picture: Image) -> None:
        """Discard it."""


if __name__ == "__main__":
    sys.exit(main())
