"""The loop for a long time: `python benchmarks/soak.py [--frames 1000000]`.

A million drawn frames of 320x240 are replayed through a network that computes nothing, with the
overlay drawn, an events file that gets a line for every thousandth frame, and a function as an
output; every frame is answered. Bars: half an hour; memory grows by less than 1 % from the first to
the last quarter of twenty looks, at their medians (a few frames are always on their way); neither
threads nor descriptors change.
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
    """The process at one moment: bytes in memory, threads, open descriptors."""

    memory: int
    threads: int
    descriptors: int


@dataclass(frozen=True)
class Soaked:
    """What a run showed.

    Attributes:
        frames: answered.
        seconds: that it took.
        looks: at the process, after each twentieth of the frames.
        called: how often the function was.
        events: lines in the events file.
    """

    frames: int
    seconds: float
    looks: tuple[Look, ...]
    called: int
    events: int

    @property
    def growth(self) -> float:
        """By which share the memory grew from the first to the last quarter of the looks."""
        memory = [look.memory for look in self.looks]
        quarter = len(memory) // 4
        return statistics.median(memory[-quarter:]) / statistics.median(memory[:quarter]) - 1

    @property
    def steady(self) -> bool:
        """Whether threads and descriptors were the same at every look."""
        return len({look[1:] for look in self.looks}) == 1


def main() -> int:
    """Print the figures; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000)
    frames = parser.parse_args().frames
    print(f"{this_machine()}. Python {platform.python_version()}, OpenCV {cv2.__version__}\n")
    run = soaked(frames)
    rate = run.frames / run.seconds
    print(f"{run.frames:,} frames in {run.seconds:.0f} s, {rate:,.0f} a second")
    print(f"memory, MB: {' '.join(f'{look.memory / 1e6:.1f}' for look in run.looks)}")
    print(f"  grew by {run.growth:.2%} (bar {GROWTH_BAR:.0%})")
    first = run.looks[0]
    held = "all along" if run.steady else "at first, and then others"
    print(f"{first.threads} threads and {first.descriptors} descriptors {held}")
    complete = run.frames == run.called == frames
    in_time = run.seconds <= SECONDS_BAR * max(1.0, frames / 1e6)
    return int(not (complete and in_time and run.steady and run.growth < GROWTH_BAR))


def soaked(frames: int) -> Soaked:
    """Run the loop over so many frames and look at the process twenty times."""
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
    """Drawn pets of 320x240, again and again; each frame is an array of its own."""

    name = "the replay"

    def __init__(self) -> None:
        pets = (draw_pet(seed, seed % 2, 240)[0] for seed in range(16))
        pictures = [np.asarray(cv2.resize(pet, (320, 240)), np.uint8) for pet in pets]
        self._pictures = itertools.cycle(pictures)

    def read(self) -> Shot:
        """Return the next one."""
        return Shot(next(self._pictures).copy())


class Null:
    """A backend that changes its mind every thousand frames and computes nothing."""

    name = "null"

    def __init__(self) -> None:
        self._count = 0

    def infer(self, frames: Image) -> NDArray[np.float32]:
        """Answer a batch of one."""
        self._count += 1
        cat = self._count // _CHANGE % 2
        return np.array([[4 * cat, 4 - 4 * cat]], np.float32)

    def close(self) -> None:
        """Nothing to free."""


class Overlaid(Sink):
    """An output that wants the overlay."""

    wants_picture = True

    def write(self, answer: Answer, picture: Image) -> None:
        """Take it."""


if __name__ == "__main__":
    sys.exit(main())
