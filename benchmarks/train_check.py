"""Check training on this machine's GPU, with drawn pets, in about a minute.

    python benchmarks/train_check.py [--seconds 70] [--device cuda]

augment    frames augmented on the GPU match the CPU's within two levels of 255
waits      where a training step synchronises the CPU with the GPU, as counted by PyTorch
speed      images per second of the steps only, on frames in host memory
precision  fp32, bf16 and fp16 train with finite losses
resume     a resumed run ends as close to an uninterrupted one as a repeated run does

`--device cpu` rehearses it. Exit code 3: a check failed; 4: PyTorch finds no GPU.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from edgecat.data.batches import Batch
from edgecat.data.folder import scan, split
from edgecat.models.checkpoint import load_checkpoint
from edgecat.pets.synthetic import write_pets
from edgecat.training.assembly import assemble
from edgecat.training.augment import Augmentation
from edgecat.training.config import TrainConfig
from edgecat.training.device_augment import on_device
from edgecat.training.interruption import Interrupted
from edgecat.training.job import Job
from edgecat.training.loader import Loader
from edgecat.training.loop import step, train
from edgecat.training.run_folder import read_config
from edgecat.training.watcher import Watcher

LEVELS = 2
APART = 1e-2  # weight difference, beyond ten times that of a repeated run


@dataclass(frozen=True)
class Place:
    """The environment of the checks.

    Attributes:
        folder: with the pets; also for runs.
        device: cuda, cuda:1, ... or cpu in a rehearsal.
    """

    folder: Path
    device: torch.device

    @property
    def cuda(self) -> bool:
        """Whether this is not a rehearsal."""
        return self.device.type == "cuda"

    def config(self, name: str, **changes: object) -> TrainConfig:
        """Configure a short run."""
        base = TrainConfig(
            data=(str(self.folder / "pets"),),
            output=str(self.folder / "runs"),
            name=name,
            device=str(self.device),
            width=0.5 if self.cuda else 0.125,
            size=64,
            epochs=2,
            batch_size=64 if self.cuda else 32,
            ema=0.9,
            val=0.1,
            seed=1,
        )
        return replace(base, **changes)  # type: ignore[arg-type]

    def job(self, name: str, **changes: object) -> Job:
        """Prepare a run to take steps."""
        job = assemble(self.config(name, **changes), watcher=Watcher())
        job.rate = lambda update: 1e-3
        job.model.train()
        return job

    def wait(self) -> None:
        """Synchronise with the GPU."""
        if self.cuda:
            torch.cuda.synchronize(self.device)


def augment(place: Place) -> str:
    """Compare the frames augmented on GPU and CPU."""
    pictures, _ = split(scan([place.folder / "pets"]), val=0.1, seed=1)
    worst = 0
    for size in (64, 96):
        here, there = (
            Loader(
                *(pictures, size, 64, 1),
                how=Augmentation(),
                workers=2,
                on_device=flag,
                pinned=flag and place.cuda,
            )
            for flag in (False, True)
        )
        for one, two in zip(here.batches(0), there.batches(0), strict=True):
            frames, labels = on_device(two, place.device)
            _ensure((labels.cpu().numpy() == one.labels).all(), "the labels differ")
            apart = np.abs(frames.cpu().numpy().astype(int) - one.frames.astype(int))
            worst = max(worst, int(apart.max()))
    _ensure(worst <= LEVELS, f"frames differ by {worst} levels; limit {LEVELS}")
    return f"largest difference {worst} levels"


def synchronisations(work: Callable[[], object]) -> list[warnings.WarningMessage]:
    """Return where `work` synchronises with the GPU, as counted by PyTorch."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            work()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return [warning for warning in caught if "synchroniz" in str(warning.message)]


def waits(place: Place) -> str:
    """Find the synchronisations in a step."""
    if not place.cuda:
        return "needs a GPU"
    job, batch = place.job("waits", precision="bf16", ema=0.99), _batch(64, 64)
    for _ in range(5):
        step(job, batch)
        job.state.step += 1
    place.wait()
    found = synchronisations(lambda: step(job, batch))
    places = sorted({f"{Path(w.filename).name}:{w.lineno}" for w in found})
    return f"{len(found)} in one step: {', '.join(places) or 'none'}"


def speed(place: Place) -> str:
    """Time steps on one batch in memory: the speed of the loop without a loader."""
    sizes = ((128, 64), (128, 128), (128, 256), (160, 128)) if place.cuda else ((64, 4),)
    warm, group = (8, 10) if place.cuda else (2, 1)
    said = []
    for size, batch in sizes:
        job = place.job("speed", batch_size=batch, ema=0.99, precision="auto")
        one = _batch(size, batch)
        for _ in range(warm):
            step(job, one)
            job.state.step += 1
        place.wait()
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < 1.5:
            for _ in range(group):
                step(job, one)
                job.state.step += 1
            count += group
            place.wait()
        rate = count * batch / (time.perf_counter() - start)
        said.append(f"{size}px batch {batch}: {rate:.0f}")
    return "images/s " + "; ".join(said)


def precision(place: Place) -> str:
    """Train in every precision."""
    said = []
    for name in ("fp32", "bf16", "fp16") if place.cuda else ("fp32", "bf16"):
        history = train(place.config(f"precision-{name}", precision=name)).history
        first, last = history[0], history[-1]
        _ensure(np.isfinite(last.train_loss), f"{name}: the loss is {last.train_loss}")
        rate = f"{last.images_per_second:.0f} images/s"
        said.append(f"{name} {first.train_loss:.3f} to {last.train_loss:.3f}, {rate}")
    return "; ".join(said)


class Stop(Watcher):
    """Sends this process SIGINT in the middle of the second epoch."""

    def __init__(self) -> None:
        self._epoch = self._steps = 0
        self._sent = False

    def epoch_started(self, epoch: int, steps: int, done: int) -> None:
        """Record the epoch."""
        self._epoch = epoch

    def stepped(self, pictures: int, loss: Callable[[], float]) -> None:
        """Count steps, and send the signal once."""
        self._steps += 1
        if self._epoch == 2 and not self._sent and self._steps % 3 == 0:
            self._sent = True
            os.kill(os.getpid(), signal.SIGINT)


def resume(place: Place) -> str:
    """Compare an interrupted and resumed run with an uninterrupted one."""
    whole, again = train(place.config("whole")), train(place.config("whole-again"))
    try:
        train(place.config("cut"), watcher=Stop())
        raise AssertionError("the run was not interrupted")
    except Interrupted:
        pass
    cut = place.folder / "runs" / "cut"
    resumed = train(read_config(cut), resume=cut)

    def apart(one: Path, two: Path) -> float:
        first, second = (load_checkpoint(path)[0].state_dict() for path in (one, two))
        return max(float((first[k].double() - second[k].double()).abs().max()) for k in first)

    repeated = apart(whole.checkpoint, again.checkpoint)
    went_on = apart(whole.checkpoint, resumed.checkpoint)
    said = f"weight difference of a repeated run {repeated:.1e}, of a resumed one {went_on:.1e}"
    _ensure(went_on <= 10 * repeated + APART, said)
    return f"{said} (0: bit-identical)"


CHECKS = (augment, waits, speed, precision, resume)


def _batch(size: int, count: int) -> Batch:
    random = np.random.default_rng(0)
    frames = random.integers(0, 256, (count, size, size, 3), np.uint8)
    return Batch(frames, random.integers(0, 2, count).astype(np.int64))


def _ensure(held: object, said: str) -> None:
    if not held:
        raise AssertionError(said)


def _outcomes(place: Place, seconds: float) -> Iterator[bool]:
    """Run each check that fits in time and print its result; return whether all passed."""
    start = time.monotonic()
    for check in CHECKS:
        if time.monotonic() - start > seconds:
            print(f"{check.__name__}: no time left", flush=True)
            continue
        began = time.monotonic()
        try:
            said, held = f"ok: {check(place)}", True
        except Exception as error:  # continue with the other checks
            traceback.print_exc()
            said, held = f"FAILED: {type(error).__name__}: {error}", False
        print(f"{check.__name__} ({time.monotonic() - began:.1f} s) {said}", flush=True)
        yield held


def main() -> int:
    """Draw pets, run the checks, and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=70, help="time limit for starting checks")
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("train_check: PyTorch finds no GPU", file=sys.stderr)
        return 4
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), device)
        write_pets(place.folder / "pets", 600 if place.cuda else 120, 1, 100)
        return 0 if all(list(_outcomes(place, options.seconds))) else 3


if __name__ == "__main__":
    sys.exit(main())
