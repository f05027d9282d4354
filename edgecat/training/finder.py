"""The learning-rate finder: how the loss responds to a learning rate that rises exponentially."""

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
from edgecat.training.trainer import Trainer
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
    """The loss over a rising learning rate.

    Attributes:
        rates: the learning rate of each update, rising.
        losses: of each update's images, in nats, before the update.
        smoothed: the losses' moving average.
        suggestion: a peak learning rate to train with.
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
    """Train a throw-away model at an exponentially rising learning rate.

    Stops early when the smoothed loss is twice its minimum.

    Args:
        config: of the run to find a learning rate for; its `lr` and `schedule` are ignored.
        lowest: first learning rate; None for a thousandth of the optimiser's default.
        highest: last learning rate; None for a hundred times the optimiser's default.
        steps: updates from the first to the last, 2 or more.
        on_step: called after each update.

    Raises:
        UserError: the images or the options cannot be used, or the loss rose from the start.
        DeviceError: the device is missing.

    Source: Smith, 2015, https://arxiv.org/abs/1506.01186, section 3.3.
    """
    first = lowest or LEARNING_RATES[config.optimizer] / 1000
    last = highest or LEARNING_RATES[config.optimizer] * 100
    trainer = assemble(
        config,
        watcher=Watcher(),
        rate=lambda update: first * (last / first) ** (update / (steps - 1)),
    )
    rates: list[float] = []
    losses: list[float] = []
    for rate, loss in islice(_rising(trainer), steps):
        rates.append(rate)
        losses.append(loss)
        on_step()
        averages = smoothed(losses)
        if not averages[-1] < _DIVERGED * min(averages):
            break
    return RateSweep(tuple(rates), tuple(losses), averages, suggested(rates, losses))


def smoothed(losses: Sequence[float]) -> tuple[float, ...]:
    """The exponential moving average, corrected for the bias of its start."""
    averages, average = [], 0.0
    for i, loss in enumerate(losses, 1):
        average = _SMOOTHING * average + (1 - _SMOOTHING) * loss
        averages.append(average / (1 - _SMOOTHING**i))
    return tuple(averages)


def suggested(rates: Sequence[float], losses: Sequence[float]) -> float:
    """A third of the highest learning rate at which the smoothed loss was still low, in two digits.

    Low means within five standard errors of the minimum, before the loss first rises ten above it.
    Smith's upper bound is where the loss stops falling; the average lags ten steps, half a decade.

    Raises:
        UserError: the loss rose from the start.
    """
    if len(losses) <= _SETTLED:
        raise UserError(
            f"the loss rose from the start, at a learning rate of {rates[0]:.2g}; expected it to "
            "fall first. Check the images and their labels"
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


def _rising(trainer: Trainer) -> Iterator[tuple[float, float]]:
    """Train on; yield learning rate and loss of every update until the loss is not finite."""
    run, state = trainer.run, trainer.state
    trainer.learner.model.train()
    trainer.freeze_for_epoch()
    loader = replace(run.loader, size=run.config.size_at(0))
    totals = torch.zeros(3, device=trainer.learner.device)
    for epoch in count():
        state.epoch, state.step = epoch, 0
        learned = False
        for batch in loader.batches(epoch):
            rate = run.rate(run.update_at(epoch, state.step))
            totals += trainer.step(batch)
            closed = run.closes_group(state.step)
            state.step += 1
            if not closed:
                continue
            loss, _, n = totals.tolist()
            totals.zero_()
            if n and not math.isfinite(loss):
                return
            if n:
                learned = True
                yield rate, loss / n
        if not learned:
            raise UserError("no training images are left: none could be decoded")
