"""How much of the model's speed the loader leaves: from tars, from the cache, from ready batches.

    python benchmarks/training.py photos/train-*.tar
    python benchmarks/training.py photos/train-*.tar --size 224 --width 1 --batch-size 256 --compile

All run the same step of the same model, half-width VGG16 with batch norm and global average pooling
at 64 x 64, in turns, so that whatever else the machine does affects all of them. `cache` takes
images that `edgecat train --cache` decoded before; `memory` repeats four batches that are ready.
`alone` is without a model: what the loaders could deliver to a faster one.
Loaders prepare a few batches ahead, even while others are timed; long rounds keep that negligible.
Bars: 0.9 of the speed from memory; on a GPU, 10 % of the time waiting for images.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import count, cycle, islice

import torch

from edgecat.data.batches import Batch
from edgecat.training.assembly import assemble, prepare
from edgecat.training.config import TrainConfig
from edgecat.training.loader import Loader, Waited
from edgecat.training.trainer import Trainer
from edgecat.training.watcher import Watcher

BAR = 0.9
WAITING = 0.1


def main() -> int:
    """Measure, print, and return 1 if the limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", help="tars or folders of photos")
    parser.add_argument("--cache", choices=("memory", "device", "none"), default="memory")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=32, help="per round")
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
    decoding: dict[str, float] = {}
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
        loaders = {"tars": trainer.run.loader}
        if options.cache != "none":
            started = time.perf_counter()
            cached = assemble(replace(config, cache=options.cache), watcher=Watcher())
            loaders["cache"] = cached.run.loader
            decoding = {"cached_in_seconds": round(time.perf_counter() - started, 1)}
        figures = measure(trainer, loaders, rounds=options.rounds, steps=options.steps)
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
    sys.stdout.write(json.dumps({**figures, **decoding, **about}, indent=2) + "\n")
    if trainer.learner.device.type == "cuda":
        return 0 if figures["waited_for_tars"] <= WAITING else 1
    return 0 if figures["ratio"] >= BAR else 1


def measure(
    trainer: Trainer, loaders: Mapping[str, Loader], *, rounds: int, steps: int
) -> dict[str, float]:
    """Time rounds of steps, from each loader and from memory in turns.

    Returns:
        Median images per second of each, their ratios, and the fraction of time spent waiting.
    """
    feeds = {name: Waited(_endless(loader)) for name, loader in loaders.items()}
    ready = Waited(cycle(list(islice(_endless(trainer.run.loader), 4))))
    trainer.learner.model.train()
    for feed in feeds.values():
        _speed(trainer, islice(feed, steps))
        feed.seconds = 0.0
    speeds: dict[str, list[float]] = {name: [] for name in (*feeds, "memory")}
    spent = dict.fromkeys(feeds, 0.0)
    for _ in range(rounds):
        for name, feed in (*feeds.items(), ("memory", ready)):
            started = time.perf_counter()
            speeds[name].append(_speed(trainer, islice(feed, steps)))
            spent[name] = spent.get(name, 0.0) + time.perf_counter() - started
    medians = {name: statistics.median(found) for name, found in speeds.items()}
    figures = {f"{name}_images_per_second": round(speed, 1) for name, speed in medians.items()}
    figures["ratio"] = round(medians["tars"] / medians["memory"], 3)
    if "cache" in medians:
        figures["cache_to_tars"] = round(medians["cache"] / medians["tars"], 3)
    waits = {
        f"waited_for_{name}": round(feed.seconds / spent[name], 3) for name, feed in feeds.items()
    }
    return {**figures, **waits, **_alone(loaders, rounds=rounds, steps=steps)}


def _alone(loaders: Mapping[str, Loader], *, rounds: int, steps: int) -> dict[str, float]:
    """Time the loaders without a model, in turns: how many images they could deliver."""
    feeds = {name: _endless(loader) for name, loader in loaders.items()}
    speeds: dict[str, list[float]] = {name: [] for name in feeds}
    for turn in range(rounds + 1):
        for name, feed in feeds.items():
            started = time.perf_counter()
            pictures = sum(len(batch.labels) for batch in islice(feed, steps))
            if turn:  # the first one starts the threads
                speeds[name].append(pictures / (time.perf_counter() - started))
    medians = {name: statistics.median(found) for name, found in speeds.items()}
    figures: dict[str, float] = {
        f"{name}_alone_images_per_second": round(speed) for name, speed in medians.items()
    }
    if "cache" in medians:
        figures["cache_to_tars_alone"] = round(medians["cache"] / medians["tars"], 2)
    return figures


def _endless(loader: Loader) -> Iterator[Batch]:
    for epoch in count():
        yield from loader.batches(epoch)


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
