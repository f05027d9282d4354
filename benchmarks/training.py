"""How much of the model's speed the loader leaves: training from tars against training from memory.

    python benchmarks/training.py photos/train-*.tar
    python benchmarks/training.py photos/train-*.tar --size 224 --width 1 --batch-size 256 --compile

Both run the same step of the same model, half-width VGG16 with batch norm and global average
pooling at 64 x 64, in turns, so that whatever else the machine does meets both. Bars: 0.9 of the
speed from memory; on a GPU, 10 % of the time waiting for pictures.
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
from edgecat.training.loader import Waited
from edgecat.training.trainer import Trainer
from edgecat.training.watcher import Watcher

BAR = 0.9
WAITING = 0.1


def main() -> int:
    """Measure, print, and return 1 where the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", help="tars or folders of photographs")
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
        trainer = prepare(config, resume=None, watcher=Watcher())
        figures = measure(trainer, rounds=options.rounds, steps=options.steps)
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
    about = {name: getattr(trainer.run.config, name) for name in kept}
    sys.stdout.write(json.dumps({**figures, **about}, indent=2) + "\n")
    if trainer.learner.device.type == "cuda":
        return 0 if figures["waited_for_tars"] <= WAITING else 1
    return 0 if figures["ratio"] >= BAR else 1


def measure(trainer: Trainer, *, rounds: int, steps: int) -> dict[str, float]:
    """Time rounds of steps, from tars and memory in turns: median images/s, share of waiting."""
    tars = Waited(_endless(trainer))
    memory = cycle(list(islice(_endless(trainer), 4)))
    trainer.learner.model.train()
    _speed(trainer, islice(tars, steps))
    tars.seconds, spent = 0.0, 0.0
    speeds: dict[str, list[float]] = {"tars": [], "memory": []}
    for _ in range(rounds):
        started = time.perf_counter()
        speeds["tars"].append(_speed(trainer, islice(tars, steps)))
        spent += time.perf_counter() - started
        speeds["memory"].append(_speed(trainer, islice(memory, steps)))
    tars_median, memory_median = (statistics.median(speeds[key]) for key in ("tars", "memory"))
    return {
        "tars_images_per_second": round(tars_median, 1),
        "memory_images_per_second": round(memory_median, 1),
        "ratio": round(tars_median / memory_median, 3),
        "waited_for_tars": round(tars.seconds / spent, 3),
    }


def _endless(trainer: Trainer) -> Iterator[Batch]:
    for epoch in count():
        yield from trainer.run.loader.batches(epoch)


def _speed(trainer: Trainer, batches: Iterable[Batch]) -> float:
    started, pictures = time.perf_counter(), 0
    for batch in batches:
        trainer.step(batch)
        pictures += len(batch.labels)
    if trainer.learner.device.type == "cuda":
        torch.cuda.synchronize()
    return pictures / (time.perf_counter() - started)


if __name__ == "__main__":
    sys.exit(main())
