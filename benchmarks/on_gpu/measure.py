"""One way at one batch size: latency over rotating inputs, its parts, its share of the floor.

Inputs rotate so that no cache, of the processor, the GPU or a library, answers in the network's
place. The share is the floor over the time on the GPU (over the latency, where a way does not tell
it): 100 % is what the ceilings allow.
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
    """One way at one batch size; times in milliseconds of a batch.

    Attributes:
        way: its label.
        precision: of the arithmetic.
        device: cpu or cuda.
        batch: frames in a batch.
        n: batches timed.
        p50_ms: median latency, host to host.
        p99_ms: its 99th percentile.
        fps: frames a second.
        up_ms: copying the frames to the GPU, by itself.
        gpu_ms: the network on the GPU, by itself.
        down_ms: copying the logits back, by itself.
        floor_ms: the least time that the ceilings allow.
        share: of the floor in the time on the GPU, else in the latency; None on the CPU.
        logit_error: worst difference to the reference's logits, over their spread.
        ready_s: from nothing to the first steady answer: allocating, compiling, recording.
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
        """For JSON."""
        return {
            name: float(f"{value:.6g}") if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


class Inputs:
    """Random frames and the reference's logits for them.

    Args:
        card: whose input size counts.
        logits: the reference: answers frames.
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
        """Worst difference of a batch's logits, relative to the spread of the reference's."""
        apart = np.abs(logits - self._logits[self._chosen(number, len(logits))]).max()
        return float(apart) / self._spread

    def _chosen(self, number: int, size: int) -> Any:
        return (number + np.arange(size)) % INPUTS


def measured(
    way: Way, batch: int, inputs: Inputs, *, cost: Cost | None, ceilings: Ceilings, seconds: float
) -> Row:
    """Measure a way.

    Args:
        way: not yet prepared for this size.
        batch: frames in a batch.
        inputs: to answer.
        cost: of the network; None where it is not known.
        ceilings: of the device.
        seconds: to time answers for, after warming up; at least twenty are timed.
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
    """The floor over the time on the GPU, else over the latency; None where there is no floor."""
    taken = stages.gpu or latency
    return floor / taken if floor and taken else None


def _timed(way: Way, batches: list[Frames], seconds: float) -> list[float]:
    """Milliseconds of each answer."""
    times: list[float] = []
    start = time.monotonic()
    while len(times) < _LEAST_CALLS or time.monotonic() - start < seconds:
        frames = batches[len(times) % INPUTS]
        before = time.perf_counter()
        way.infer(frames)
        times.append(1e3 * (time.perf_counter() - before))
    return times
