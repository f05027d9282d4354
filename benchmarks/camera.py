"""Measure the overhead of the camera loop: `python benchmarks/camera.py`.

The shipped int8 model classifies 1280x720 frames with ONNX Runtime. Limits:

- everything except video decoding and the network (hand-over from the capture thread, resize,
  smoothing and decision, overlay, hand-over to the outputs) takes a median of 1.5 ms per frame;
- without a window, a file is processed at 0.95 of the rate of the bare engine, which classifies the
  same input repeatedly while the same decoder runs in parallel;
- and faster than by a plain loop of OpenCV and ONNX Runtime: read, resize, run, softmax.

The three are interleaved in changing order; medians of per-round ratios are compared. The limits
are for a network that leaves one core to the capture thread. A network on all cores is measured
as well: then no idle core is left, and the plain loop is about as fast.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import statistics
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter, process_time, sleep, thread_time
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edgecat.pets.synthetic import draw_pet
from edgecat.pretrained import INT8
from edgecat_runtime import Classifier
from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.camera.source import Shot, Source
from edgecat_runtime.loop.answers import Answer
from edgecat_runtime.outputs.sink import Sink
from edgecat_runtime.pipeline import Pipeline
from edgecat_runtime.system.machine import cores, this_machine
from edgecat_runtime.types import Image

OVERHEAD_BAR, RATE_BAR = 1.5, 0.95
SIZE = (1280, 720)
_WARM, _FPS = 10, 25


def main() -> int:
    """Print the figures; return 1 if a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", type=Path, default=INT8)
    parser.add_argument(
        "--threads", type=int, help="threads of the network; default: all cores but one"
    )
    parser.add_argument("--frames", type=int, default=200, help="frames in the clip")
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    print(
        f"{this_machine()}. Python {platform.python_version()}, OpenCV {cv2.__version__}, "
        f"onnxruntime {onnxruntime.__version__}, numpy {np.__version__}"
    )
    with Classifier.open(given.engine, backend="onnxruntime", threads=given.threads) as classifier:
        card = classifier.card
        print(f"{given.engine.name}: {card.precision}, {card.width}x{card.height}\n")
        overhead = _overhead(classifier, given.frames)
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mkv"
        write_clip(clip, given.frames)
        threads = given.threads or max(1, cores() - 1)
        print(f"\nnetwork on {threads} of {cores()} cores (limits: {RATE_BAR}, and over 1):")
        to_bare, to_plain = _rates(given.engine, clip, threads, given.rounds)
        if given.threads is None:
            print("\nnetwork on all cores:")
            _rates(given.engine, clip, None, given.rounds)
    return int(overhead > OVERHEAD_BAR or to_bare < RATE_BAR or to_plain <= 1)


def _overhead(classifier: Classifier, frames: int) -> float:
    """Print a breakdown of the time; return the median overhead beyond the network, in ms."""
    timed = Timed(classifier)
    with Camera(Paced(drawn_frames(), fps=_FPS)) as camera:
        pipeline = Pipeline(camera, timed, [Shown()], max_frames=frames + _WARM)
        costs, network, worked = [], [], []
        before, began, used = thread_time(), perf_counter(), process_time()
        for answer in pipeline:
            costs.append(perf_counter() - answer.frame.captured - timed.seconds)
            network.append(timed.seconds)
            now = thread_time()
            worked.append(now - before - timed.worked)
            before = now
        share = (process_time() - used) / (perf_counter() - began)
    stages = pipeline.summary.stages_ms
    overhead = statistics.median(costs[_WARM:]) * 1e3
    processor = statistics.median(worked[_WARM:]) * 1e3
    print(
        f"overhead: {overhead:.2f} ms per frame (limit {OVERHEAD_BAR}), of which the "
        f"loop's thread spends {processor:.2f} computing"
    )
    print(
        f"  capture to loop {stages['wait']:.2f}, resize {stages['preprocess']:.2f}, overlay "
        f"and hand-over {stages['output']:.2f}; network {statistics.median(network) * 1e3:.2f}"
    )
    print(f"  the process takes {share:.2f} of a core at {_FPS} frames per second")
    return overhead


def _rates(engine: Path, clip: Path, threads: int | None, rounds: int) -> tuple[float, float]:
    """Print the frame rates; return the pipeline's relative to the bare engine and plain loop."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    session = onnxruntime.InferenceSession(str(engine), options, providers=["CPUExecutionProvider"])
    with Classifier.open(engine, backend="onnxruntime", threads=threads) as classifier:
        ways: dict[str, Callable[[], int]] = {
            "pipeline": lambda: _pipeline(classifier, clip),
            "bare engine": lambda: _bare(session, classifier, clip),
            "plain loop": lambda: _plain(session, classifier, clip),
        }
        rates = interleaved(ways, rounds)
    for name, measured in rates.items():
        print(f"{name}: {statistics.median(measured):.1f} frames/s")
    to_bare = _ratio(rates["pipeline"], rates["bare engine"])
    to_plain = _ratio(rates["pipeline"], rates["plain loop"])
    print(f"pipeline / bare engine: {to_bare:.3f}")
    print(f"pipeline / plain loop: {to_plain:.3f}")
    return to_bare, to_plain


def interleaved(ways: dict[str, Callable[[], int]], rounds: int) -> dict[str, list[float]]:
    """Return the rates of each variant, one per round; a variant returns its number of frames."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for turn in range(rounds):
        names = list(ways)
        names = names[turn % len(names) :] + names[: turn % len(names)]
        for name in names:
            start = perf_counter()
            count = ways[name]()
            rates[name].append(count / (perf_counter() - start))
    return rates


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def _pipeline(classifier: Classifier, clip: Path) -> int:
    with Camera.open(clip) as camera:
        return Pipeline(camera, classifier).run().frames


def _bare(session: Any, classifier: Classifier, clip: Path) -> int:
    """Run the network on a fixed input, once per frame that a thread decodes."""
    capture = cv2.VideoCapture(str(clip))
    there, taken = threading.Semaphore(0), threading.Semaphore(1)
    ended = False

    def decode() -> None:
        nonlocal ended
        while capture.read()[0]:
            taken.acquire()
            there.release()
        taken.acquire()
        ended = True
        there.release()

    batch = np.zeros((1, classifier.card.height, classifier.card.width, 3), np.uint8)
    decoder = threading.Thread(target=decode)
    decoder.start()
    count = 0
    while there.acquire() and not ended:
        taken.release()
        session.run(None, {"frames": batch})
        count += 1
    decoder.join()
    capture.release()
    return count


def _plain(session: Any, classifier: Classifier, clip: Path) -> int:
    """A typical hand-written loop."""
    size = classifier.card.width, classifier.card.height
    capture = cv2.VideoCapture(str(clip))
    count = 0
    while True:
        there, frame = capture.read()
        if not there:
            break
        logits = session.run(None, {"frames": cv2.resize(frame, size)[None]})[0][0]
        exponents = np.exp(logits - logits.max())
        probabilities = exponents / exponents.sum()
        probabilities.argmax()
        count += 1
    capture.release()
    return count


class Timed(Classifier):
    """A classifier that records its last network time and this thread's CPU time."""

    def __init__(self, inner: Classifier) -> None:
        super().__init__(inner._backend, inner.card)
        self.seconds = self.worked = 0.0

    def infer(self, frames: Image) -> NDArray[np.float32]:
        """Classify a batch."""
        start, worked = perf_counter(), thread_time()
        logits = super().infer(frames)
        self.seconds, self.worked = perf_counter() - start, thread_time() - worked
        return logits


class Shown(Sink):
    """An output that requests the overlay, as a window does."""

    wants_overlay = True

    def write(self, answer: Answer, picture: Image) -> None:
        """Discard it."""


class Paced(Source):
    """Decoded frames at a steady rate, as from a live camera."""

    name, live = "drawn pets", True

    def __init__(self, frames: Sequence[Image], *, fps: float) -> None:
        self.fps = fps
        self._frames = itertools.cycle(frames)
        self._due = perf_counter()

    def read(self) -> Shot:
        """Wait until the next frame is due."""
        self._due += 1 / self.fps
        sleep(max(0.0, self._due - perf_counter()))
        return Shot(next(self._frames).copy())


def drawn_frames(count: int = 8) -> list[Image]:
    """Return drawn pets of 1280x720."""
    pets = (draw_pet(seed, seed % 2, SIZE[1])[0] for seed in range(count))
    return [np.asarray(cv2.resize(pet, SIZE), np.uint8) for pet in pets]


def write_clip(path: Path, frames: int) -> None:
    """Write a video of moving pets, in MPEG-4, which every OpenCV can write."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, SIZE)
    for index, frame in zip(range(frames), _moving(drawn_frames()), strict=False):
        writer.write(np.roll(frame, 4 * index, axis=1))
    writer.release()


def _moving(frames: Sequence[Image]) -> Iterator[Image]:
    for frame in itertools.cycle(frames):
        yield from itertools.repeat(frame, 30)


if __name__ == "__main__":
    sys.exit(main())
