"""The learning-rate finder: how the loss answers to a rate that climbs from far too low."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from statistics import stdev

import torch

from edgecat.training import plots
from edgecat.training.assembly import assemble
from edgecat.training.config import LEARNING_RATES, TrainConfig
from edgecat.training.job import Job
from edgecat.training.loop import step
from edgecat.training.watcher import Watcher
from edgecat_runtime.errors import UserError
from edgecat_runtime.system.atomic import atomic_write

TABLE = "rates.csv"
PLOT = "rates.png"

_SMOOTHING = 0.9
_DIVERGED = 2.0
_SETTLED = 10


@dataclass(frozen=True)
class RateSweep:
    """What a climbing learning rate did to the loss.

    Attributes:
        rates: the rate of each step, climbing.
        losses: of each step's batch, in nats, before the step.
        smoothed: the losses' moving average.
        suggestion: a peak rate to train with.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestion: float


def find_learning_rate(
    config: TrainConfig,
    *,
    lowest: float | None = None,
    highest: float | None = None,
    steps: int = 100,
    on_step: Callable[[], None] = lambda: None,
) -> RateSweep:
    """Train a model that is thrown away at a rate that climbs exponentially.

    It ends early where the smoothed loss is twice its least.

    Args:
        config: of the run to find a rate for; its `lr` and `schedule` do not count.
        lowest: the first rate; None for a thousandth of the optimiser's own.
        highest: the last one; None for a hundred times the optimiser's own.
        steps: from the one to the other, 2 or more.
        on_step: told of each.

    Raises:
        UserError: the pictures or the options cannot be used, or the loss climbed at once.
        DeviceError: the device is not there.

    Source: Smith, 2015, https://arxiv.org/abs/1506.01186, section 3.3.
    """
    job = assemble(config, watcher=Watcher())
    first = lowest or LEARNING_RATES[config.optimizer] / 1000
    last = highest or LEARNING_RATES[config.optimizer] * 100
    job.rate = lambda update: first * (last / first) ** (update / (steps - 1))
    rates: list[float] = []
    losses: list[float] = []
    for rate, loss in islice(_climb(job), steps):
        rates.append(rate)
        losses.append(loss)
        on_step()
        averages = smoothed(losses)
        if not averages[-1] < _DIVERGED * min(averages):
            break
    return RateSweep(tuple(rates), tuple(losses), averages, suggested(rates, losses))


def smoothed(losses: Sequence[float]) -> tuple[float, ...]:
    """The exponential moving average, without the bias of its start."""
    averages, average = [], 0.0
    for i, loss in enumerate(losses, 1):
        average = _SMOOTHING * average + (1 - _SMOOTHING) * loss
        averages.append(average / (1 - _SMOOTHING**i))
    return tuple(averages)


def suggested(rates: Sequence[float], losses: Sequence[float]) -> float:
    """A third of the highest rate at which the smoothed loss was still low, with two digits.

    Low is within five standard errors of its least, before it first climbs ten above it. Smith's
    upper bound is where the loss stops falling; the average lags ten steps, half a decade, behind.

    Raises:
        UserError: the loss rose from the start.
    """
    if len(losses) <= _SETTLED:
        raise UserError(
            f"the loss climbed at once, from a rate of {rates[0]:.2g} on; expected it to fall "
            "first. Look at the pictures and their labels"
        )
    averages = smoothed(losses)
    early = losses[: max(_SETTLED, len(losses) // 4)]
    error = stdev(early) * math.sqrt((1 - _SMOOTHING) / (1 + _SMOOTHING))
    least, highest = math.inf, _SETTLED
    for i in range(_SETTLED, len(averages)):
        least = min(least, averages[i])
        if averages[i] > least + 10 * error:
            break
        if averages[i] <= least + 5 * error:
            highest = i
    return float(f"{rates[highest] / 3:.2g}")


def save_sweep(sweep: RateSweep, folder: Path) -> None:
    """Write `rates.csv` and `rates.png`.

    Raises:
        BackendMissing: matplotlib is not installed.
        UserError: a file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("rate", "loss", "smoothed"))
    columns = (sweep.rates, sweep.losses, sweep.smoothed)
    writer.writerows([f"{value:.6g}" for value in row] for row in zip(*columns, strict=True))
    atomic_write(folder / TABLE, text.getvalue())
    plots.draw_rates(sweep.rates, sweep.losses, sweep.smoothed, sweep.suggestion, folder / PLOT)


def _climb(job: Job) -> Iterator[tuple[float, float]]:
    """Train on and on; yield rate and loss of every update until the loss is no number."""
    job.model.train()
    job.hold()
    loader = replace(job.loader, size=job.config.size_at(0))
    totals = torch.zeros(3, device=job.device)
    for epoch in count():
        job.state.epoch, job.state.step = epoch, 0
        learnt = False
        for batch in loader.batches(epoch):
            rate = job.rate(job.update)
            totals += step(job, batch)
            job.state.step += 1
            if job.state.step % job.group and job.state.step < loader.steps:
                continue
            loss, _, n = totals.tolist()
            totals.zero_()
            if n and not math.isfinite(loss):
                return
            if n:
                learnt = True
                yield rate, loss / n
        if not learnt:
            raise UserError("no training pictures are left: none could be decoded")
