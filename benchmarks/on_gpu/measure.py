"""Measures one variant at one batch size: latency, its parts, and its fraction of the floor.

Inputs rotate so that no cache of the CPU, the GPU or a library distorts the
result. The share is the floor divided by the GPU time (by the latency if the GPU time is
unknown): 100 % is what the ceilings allow.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgecat.models.cost import Cost
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.types import Frames, Logits
from on_gpu.ceilings import Ceilings
from on_gpu.ways import Stages, Way

INPUTS = 8
_WARM_CALLS, _LEAST_CALLS = 10, 20


@dataclass(frozen=True)
class Row:
    """One variant at one batch size; times in milliseconds per batch.

    Attributes:
        way: label of the variant.
        precision: of the arithmetic.
        device: cpu or cuda.
        batch: frames per batch.
        n: number of batches timed.
        p50_ms: median latency, host to host.
        p99_ms: its 99th percentile.
        fps: frames per second.
        up_ms: copying the frames to the GPU, timed separately.
        gpu_ms: the network on the GPU, timed separately.
        down_ms: copying the logits back, timed separately.
        floor_ms: the minimum time that the ceilings allow.
        share: the floor divided by the GPU time, else by the latency; None on the CPU.
        logit_error: largest difference to the reference's logits, relative to their spread.
        ready_s: time to the first steady batch: allocation, compilation, recording.
    """

    way: str
    precision: str
    device: str
    batch: int
    n: int
    p50_ms: float
    p99_ms: float
    fps: float
    up_ms: float | None
    gpu_ms: float | None
    down_ms: float | None
    floor_ms: float
    share: float | None
    logit_error: float
    ready_s: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return {
            name: float(f"{value:.6g}") if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


class Inputs:
    """Random frames and the reference's logits for them.

    Args:
        card: provides the input size.
        logits: the reference: maps frames to logits.
    """

    def __init__(self, card: ModelCard, reference: Any) -> None:
        random, shape = np.random.default_rng(0), (card.height, card.width, 3)
        self._frames = random.integers(0, 256, (INPUTS, *shape), np.uint8)
        self._logits: Logits = reference(self._frames)
        self._spread = max(float(np.ptp(self._logits)), float(np.finfo(np.float32).tiny))

    def batch(self, number: int, size: int) -> Frames:
        """The batch with this number: uint8 (size, height, width, 3)."""
        return np.ascontiguousarray(self._frames[self._chosen(number, size)])

    def error(self, number: int, logits: Logits) -> float:
        """Return the largest logit difference of a batch, relative to the reference's spread."""
        apart = np.abs(logits - self._logits[self._chosen(number, len(logits))]).max()
        return float(apart) / self._spread

    def _chosen(self, number: int, size: int) -> Any:
        return (number + np.arange(size)) % INPUTS


def measured(
    way: Way, batch: int, inputs: Inputs, *, cost: Cost | None, ceilings: Ceilings, seconds: float
) -> Row:
    """Measure a variant.

    Args:
        way: the variant, not yet prepared for this batch size.
        batch: frames per batch.
        inputs: the input frames.
        cost: of the network; None if unknown.
        ceilings: of the device.
        seconds: measurement time after warm-up; at least twenty batches are timed.
    """
    start = time.monotonic()
    batches = [inputs.batch(number, batch) for number in range(INPUTS)]
    way.prepare(batch)
    error = max(inputs.error(k, way.infer(frames)) for k, frames in enumerate(batches))
    for k in range(_WARM_CALLS):
        way.infer(batches[k % INPUTS])
    ready = time.monotonic() - start
    times = _timed(way, batches, seconds)
    stages = way.stages()
    p50, p99 = (float(v) for v in np.percentile(times, (50, 99)))
    known = cost is not None and way.device.startswith("cuda")
    floor = ceilings.floor(cost, way.precision, batch).ms if known and cost is not None else 0.0
    return Row(
        way.label,
        way.precision,
        way.device,
        batch,
        len(times),
        p50,
        p99,
        1e3 * batch / statistics.fmean(times),
        stages.up,
        stages.gpu,
        stages.down,
        floor,
        share(floor, stages, p50),
        error,
        ready,
    )


def share(floor: float, stages: Stages, latency: float) -> float | None:
    """Return the floor divided by the GPU time, else by the latency; None without a floor."""
    taken = stages.gpu or latency
    return floor / taken if floor and taken else None


def _timed(way: Way, batches: list[Frames], seconds: float) -> list[float]:
    """Return the milliseconds of each batch."""
    times: list[float] = []
    start = time.monotonic()
    while len(times) < _LEAST_CALLS or time.monotonic() - start < seconds:
        frames = batches[len(times) % INPUTS]
        before = time.perf_counter()
        way.infer(frames)
        times.append(1e3 * (time.perf_counter() - before))
    return times
