"""Benchmarks of models on this machine, measured so that results are comparable.

Latency is host to host: from preprocessed frames in host memory to logits in host memory, including
copies to and from a GPU. Its parts, and what precedes it, are reported as stages.

1. **Warm-up**: each model runs in windows of a quarter of a second (at least three calls) until the
   medians of three consecutive windows are within 5 % of each other, or a time limit is reached.
2. **Rounds**: ten rounds; in each, every model has one turn, and the order rotates by one, so that
   thermal throttling and background load affect all models alike. If several models take turns, the
   first call of a turn is discarded: the others have displaced its data from the caches.
3. **Speed**: the median over all rounds of the ratio of median latencies within a round. Background
   load hardly affects it, unlike `fps`, which is the throughput actually achieved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean, median
from time import perf_counter
from typing import Any

import numpy as np

from edgecat_runtime.backends.base import gpu_number
from edgecat_runtime.benchmark.opening import Subject, golden_batch
from edgecat_runtime.model.golden import golden_scene
from edgecat_runtime.nvidia.driver import driver
from edgecat_runtime.system.machine import Machine, this_machine

ROUNDS = 10
STEADY = 1.05
_WINDOW_SECONDS, _WINDOW_CALLS, _WINDOWS = 0.25, 3, 3
_PERCENTS = (50, 90, 99)
_OUTSIDE_JSON = ("samples_ms", "steady", "speed")

Clock = Callable[[], float]


@dataclass(frozen=True)
class Result:
    """Measurements of one model on one backend; times are milliseconds per batch.

    Attributes:
        model: path of the artifact.
        backend: name of the backend.
        device: the backend's device, and the machine's state under this load.
        precision: `fp32`, `fp16` or `int8`.
        batch: frames per batch.
        n: number of timed batches.
        fps: frames per second, host to host.
        latency_ms: `mean`, `p50`, `p90` and `p99`, host to host.
        stages_ms: mean of `preprocess` (1280x720 frames to the network's input, not part of the
            latency), of `infer` (the latency) and, if the backend reports it, of `gpu` within it.
        warmup: number of warm-up batches.
        memory_mb: memory used by opening the model and running one batch, RAM plus GPU, in units of
            10^6 bytes; the backend's library is not included.
        samples_ms: every latency, in the order of measurement.
        steady: whether the latency was stable when the warm-up ended.
        speed: relative to the first model, from the rounds.
    """

    model: str
    backend: str
    device: str
    precision: str
    batch: int
    n: int
    fps: float
    latency_ms: dict[str, float]
    stages_ms: dict[str, float]
    warmup: int
    memory_mb: float
    samples_ms: tuple[float, ...] = field(default=(), repr=False)
    steady: bool = True
    speed: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready fields, without samples and ratio."""
        return {name: v for name, v in asdict(self).items() if name not in _OUTSIDE_JSON}


def measure(
    subjects: Sequence[Subject],
    *,
    batch: int = 1,
    seconds: float = 5.0,
    clock: Clock = perf_counter,
    advance: Callable[[], None] = lambda: None,
) -> list[Result]:
    """Measure open models in turns; speeds are relative to the first one.

    Args:
        subjects: at least one.
        batch: frames per batch.
        seconds: time to measure each model, after its warm-up.
        clock: returns seconds.
        advance: called after each model's warm-up and after each round.
    """
    runs = [_Run(subject, batch, clock) for subject in subjects]
    for run in runs:
        run.warm_up(limit=max(2.0, 4 * seconds))
        advance()
    for number in range(ROUNDS):
        first = number % len(runs)
        for run in runs[first:] + runs[:first]:
            run.turn(seconds / ROUNDS, alone=len(runs) == 1)
            if number == ROUNDS - 1:
                run.machine = this_machine()
        advance()
    return [run.result(runs[0]) for run in runs]


class _Run:
    """One model's measurement in progress."""

    def __init__(self, subject: Subject, batch: int, clock: Clock) -> None:
        self.subject = subject
        self.batch = batch
        self._clock = clock
        self._frames = golden_batch(subject.classifier.card, batch)
        self._scene = golden_scene()
        self._warmup = 0
        self._steady = False
        self._preprocess: list[float] = []
        self._gpu: list[float] = []
        self._rounds: list[list[float]] = []
        self.machine: Machine | None = None

    def warm_up(self, limit: float) -> None:
        """Run until three consecutive windows agree, or for `limit` seconds."""
        start, medians = self._clock(), list[float]()
        while not self._steady and self._clock() - start < limit:
            window = self._answers(_WINDOW_SECONDS, _WINDOW_CALLS)
            self._warmup += len(window)
            medians.append(median(window))
            last = medians[-_WINDOWS:]
            self._steady = len(last) == _WINDOWS and max(last) <= STEADY * min(last)
        self._gpu.clear()

    def turn(self, seconds: float, *, alone: bool) -> None:
        """Take one turn: preprocess, then run for `seconds`."""
        self._fit_frames()  # discarded, like the first call
        self._preprocess.append(self._timed(self._fit_frames))
        if not alone:
            self._infer()
        self._rounds.append(self._answers(seconds, 1))

    def medians(self) -> list[float]:
        """Median latency in each round, in seconds."""
        return [median(times) for times in self._rounds]

    def result(self, first: _Run) -> Result:
        """The result, with the speed relative to the first model."""
        times = [1e3 * seconds for turn in self._rounds for seconds in turn]
        percentiles = np.percentile(times, _PERCENTS).tolist()
        latency = {
            "mean": fmean(times),
            **{f"p{p}": v for p, v in zip(_PERCENTS, percentiles, strict=True)},
        }
        stages = {"preprocess": 1e3 * fmean(self._preprocess), "infer": latency["mean"]}
        if self._gpu:
            stages["gpu"] = fmean(self._gpu)
        pairs = zip(first.medians(), self.medians(), strict=True)
        classifier = self.subject.classifier
        return Result(
            self.subject.name,
            classifier.backend,
            _device(classifier.device, self.machine),
            classifier.card.precision,
            self.batch,
            len(times),
            round(1e3 * self.batch / latency["mean"], 2),
            _rounded(latency),
            _rounded(stages),
            self._warmup,
            self.subject.memory_mb,
            tuple(times),
            self._steady,
            median(theirs / mine for theirs, mine in pairs),
        )

    def _answers(self, seconds: float, least: int) -> list[float]:
        """Seconds of each call: at least `least` calls, for at least `seconds`."""
        times: list[float] = []
        start = self._clock()
        while len(times) < least or self._clock() - start < seconds:
            times.append(self._timed(self._infer))
            if self.subject.gpu_ms is not None:
                self._gpu.append(self.subject.gpu_ms())
        return times

    def _timed(self, action: Callable[[], object]) -> float:
        start = self._clock()
        action()
        return self._clock() - start

    def _infer(self) -> None:
        self.subject.classifier.infer(self._frames)

    def _fit_frames(self) -> None:
        np.stack([self.subject.classifier.preprocess(self._scene) for _ in range(self.batch)])


def _device(device: str, machine: Machine | None) -> str:
    gpus = driver().devices[gpu_number(device) :][:1] if device != "cpu" else ()
    return f"{device} ({', '.join([*(gpu.name for gpu in gpus), str(machine)])})"


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}
