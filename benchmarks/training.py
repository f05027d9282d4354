"""Measure the loader's overhead: training from tars against training from memory.

    python benchmarks/training.py photos/train-*.tar
    python benchmarks/training.py photos/train-*.tar --size 224 --width 1 --batch-size 256 --compile

Both run the same step of the same model, a half-width VGG16 with batch norm and global average
pooling at 64 x 64, interleaved, so that other load affects both. Limits: 0.9 of the
speed from memory; on a GPU, 10 % of the time waiting for data.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from itertools import count, cycle, islice

import torch

from edgecat.data.batches import Batch
from edgecat.training.assembly import prepare
from edgecat.training.config import TrainConfig
from edgecat.training.job import Job
from edgecat.training.loader import Waited
from edgecat.training.loop import step
from edgecat.training.watcher import Watcher

BAR = 0.9
WAITING = 0.1


def main() -> int:
    """Measure, print, and return 1 if the limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", help="tars or folders of photos")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=8, help="a round")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--width", type=float, default=0.5)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--augment-on", default="auto")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            data=tuple(options.data),
            output=folder,
            size=options.size,
            width=options.width,
            batch_size=options.batch_size,
            device=options.device,
            precision=options.precision,
            augment_on=options.augment_on,
            compiled=options.compile,
            stream=options.stream,
            threads=options.threads,
        )
        job = prepare(config, resume=None, watcher=Watcher())
        figures = measure(job, rounds=options.rounds, steps=options.steps)
    kept = (
        "size",
        "width",
        "batch_size",
        "device",
        "precision",
        "augment_on",
        "compiled",
        "threads",
    )
    about = {name: getattr(job.config, name) for name in kept}
    sys.stdout.write(json.dumps({**figures, **about}, indent=2) + "\n")
    if job.device.type == "cuda":
        return 0 if figures["waited_for_tars"] <= WAITING else 1
    return 0 if figures["ratio"] >= BAR else 1


def measure(job: Job, *, rounds: int, steps: int) -> dict[str, float]:
    """Time interleaved rounds from tars and memory: median images/s, fraction of waiting."""
    tars = Waited(_endless(job))
    memory = cycle(list(islice(_endless(job), 4)))
    job.model.train()
    _speed(job, islice(tars, steps))
    tars.seconds, spent = 0.0, 0.0
    speeds: dict[str, list[float]] = {"tars": [], "memory": []}
    for _ in range(rounds):
        started = time.perf_counter()
        speeds["tars"].append(_speed(job, islice(tars, steps)))
        spent += time.perf_counter() - started
        speeds["memory"].append(_speed(job, islice(memory, steps)))
    tars_median, memory_median = (statistics.median(speeds[key]) for key in ("tars", "memory"))
    return {
        "tars_images_per_second": round(tars_median, 1),
        "memory_images_per_second": round(memory_median, 1),
        "ratio": round(tars_median / memory_median, 3),
        "waited_for_tars": round(tars.seconds / spent, 3),
    }


def _endless(job: Job) -> Iterator[Batch]:
    for epoch in count():
        yield from job.loader.batches(epoch)


def _speed(job: Job, batches: Iterable[Batch]) -> float:
    started, pictures = time.perf_counter(), 0
    for batch in batches:
        step(job, batch)
        pictures += len(batch.labels)
    if job.device.type == "cuda":
        torch.cuda.synchronize()
    return pictures / (time.perf_counter() - started)


if __name__ == "__main__":
    sys.exit(main())
