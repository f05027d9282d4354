"""How large can the learning rate be? From far too small to far too large.

On a parabola of curvature c gradient descent converges below a rate of 2 / c and diverges above
(LeCun et al., 1998, Efficient BackProp, https://doi.org/10.1007/3-540-49430-8_2, section 5.1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgecat.report.charts import COLOURS
from edgecat.report.page import table
from edgecat.study.frame import Advance, Outcome, Section, Table
from edgecat.study.learning import History, climbed, seeded
from edgecat.study.pictures import Material
from edgecat.study.plain import PlainStudy
from edgecat.study.plots import Line, Panel, band, drawn
from edgecat.study.words import nats
from edgecat.training.finder import RateSweep

_PARABOLA = (0.1, 0.6, 1.0, 1.9, 2.05)
_PARABOLA_STEPS = 14


@dataclass(frozen=True, kw_only=True)
class LearningRate(PlainStudy):
    """One network at multiples of the learning rate that the finder suggests.

    Attributes:
        shares: the multiples, ascending, including 1.
    """

    shares: tuple[float, ...] = (0.003, 0.03, 0.3, 1.0, 3.0, 10.0, 30.0)
    epochs: int = 24

    @property
    def steps(self) -> int:
        """Number of images to draw and epochs to train."""
        return self.pictures + self.validation + len(self.shares) * self.seeds * self.epochs

    def run(self, advance: Advance = lambda steps: None) -> Outcome:
        """Find the rate, then train at multiples of it."""
        found = self.found(advance)
        with seeded(self.seed) as random:
            sweep = climbed(
                self.network(found), found.training, optimizer="sgd", batch=self.batch,
                random=random, steps=self.climb,
            )  # fmt: skip
        runs = [
            self.history(
                found,
                f"{share:g}",
                seed=seed,
                optimizer="sgd",
                rate=sweep.suggestion * share,
                advance=advance,
            )
            for share in self.shares
            for seed in self.each_seed
        ]
        return outcome(self, found, sweep, runs)


def outcome(
    study: LearningRate, found: Material, sweep: RateSweep, runs: Sequence[History]
) -> Outcome:
    """Present the figures as sentences, plots and tables."""
    final = {share: last_loss(runs, share) for share in study.shares}
    start = float(np.mean([run.training_loss[0] for run in runs]))
    best = min(final, key=lambda share: final[share])
    return Outcome(
        lead=f"One network of {study.depth} layers, stochastic gradient descent without momentum, "
        f"{study.epochs} epochs on {found.about}.",
        finding=finding(final, start, sweep.suggestion),
        facts=[
            (f"{sweep.suggestion:g}", "learning rate suggested by the finder"),
            (f"{best * sweep.suggestion:.2g}", f"best rate tried: {best:g} times the suggestion"),
            (nats(final[best]), f"its loss after {study.epochs} epochs; initially {start:.2f}"),
        ],
        sections=_sections(study, sweep, runs, final, start),
        tables={"": _table(runs, sweep.suggestion), "finder": _finder_table(sweep)},
        figures={
            "suggestion": sweep.suggestion,
            "best": best * sweep.suggestion,
            "loss": {f"{share:g}": nats(value) for share, value in final.items()},
        },
        skipped=found.skipped,
    )


def last_loss(runs: Sequence[History], share: float) -> float:
    """Return the mean training loss after the last epoch; infinite if a run diverged."""
    mean = float(np.mean([r.training_loss[-1] for r in runs if r.key == f"{share:g}"]))
    return mean if math.isfinite(mean) else math.inf


def finding(final: Mapping[float, float], start: float, suggestion: float) -> tuple[str, str]:
    """Summarise the figures in two sentences.

    Args:
        final: losses after the last epoch, by multiple of the suggested rate.
        start: the initial loss.
        suggestion: the suggested rate.
    """
    low, high = min(final), max(final)
    best = min(final, key=lambda share: final[share])
    learnt = 0.95 * start
    slow = "far too small" if final[low] > learnt else "small, but it trains"
    wild = "far too large" if final[high] > learnt else "large, but it still trains"
    first = (
        f"From a loss of {start:.3f}, the suggested rate of {suggestion:g} reaches "
        f"{nats(final[1.0])}; {low:g} times it reaches {nats(final[low])} ({slow}), {high:g} times "
        f"it {nats(final[high])} ({wild})."
    )
    enough = final[best] + 0.2 * max(start - final[best], 0)
    good = [share for share, loss in final.items() if loss <= enough]
    held = final[low] > learnt and final[high] > learnt and final[best] < learnt
    verdict = (
        "a rate must be neither too small nor too large, as the lecture says"
        if held
        else "the lecture's two limits do not both appear here"
    )
    multiple = "the suggestion itself" if best == 1 else f"{best:g} times the suggestion"
    others = (
        f"from {min(good) * suggestion:.2g} to {max(good) * suggestion:.2g} the loss was about as "
        "low"
        if len(good) > 1
        else "no other rate came close"
    )
    second = f"The best was {best * suggestion:.2g}, {multiple}, and {others}: {verdict}."
    return first, second


def _sections(
    study: LearningRate,
    sweep: RateSweep,
    runs: Sequence[History],
    final: Mapping[float, float],
    start: float,
) -> list[Section]:
    rows = [
        (f"{share:g}", f"{share * sweep.suggestion:.2g}", nats(loss),
         f"{np.mean([r.validation_accuracy[-1] for r in runs if r.key == f'{share:g}']):.1%}")
        for share, loss in final.items()
    ]  # fmt: skip
    header = ("times the suggestion", "rate", "final loss", "validation accuracy")
    return [
        Section(
            "Too small, suitable, too large",
            "Training loss per epoch, and final training loss by rate. A line "
            "that ends has diverged.",
            drawn(
                [_curves(study, runs, start), _valley(study, sweep, runs, start)],
                "Loss by epoch and by rate",
            )
            + table(header, rows, left=()),
        ),
        Section(
            "The learning-rate finder",
            "The finder raises the rate during training and suggests a third of the "
            "highest rate at which the loss was still low (Smith, 2015).",
            drawn([_finder(sweep)], "The finder's sweep", columns=1),
        ),
        Section(
            "Why: gradient descent on a parabola",
            "Gradient descent on w²/2, with curvature 1, from w = 1. Every step multiplies w "
            "by 1 - rate: below 1 it converges, at 1 in one step, up to 2 with oscillations, "
            "and above 2 it diverges. A network's direction of highest curvature sets its limit.",
            drawn([_parabola()], "Steps on a parabola", columns=1),
        ),
    ]


def _curves(study: LearningRate, runs: Sequence[History], start: float) -> Panel:
    lines = [
        band(
            f"{share:g} x",
            range(study.epochs + 1),
            np.clip([r.training_loss for r in runs if r.key == f"{share:g}"], 0, 100 * start),
            colour,
        )
        for share, colour in zip(study.shares, COLOURS, strict=False)
    ]
    return Panel(
        "Loss by multiple of the suggested rate", "epoch", "loss in nats", lines,
        limits=(0, 1.6 * start),
    )  # fmt: skip


def _valley(study: LearningRate, sweep: RateSweep, runs: Sequence[History], start: float) -> Panel:
    ends = [
        [r.training_loss[-1] for share in study.shares for r in runs
         if (r.key, r.seed) == (f"{share:g}", seed)]
        for seed in study.each_seed
    ]  # fmt: skip
    rates = [share * sweep.suggestion for share in study.shares]
    line = band("", rates, np.clip(ends, 0, 100 * start), COLOURS[0], marker="o")
    return Panel(
        "After the last epoch", "learning rate", "loss in nats", [line], log_x=True,
        limits=(0, 1.6 * start), rules=[(start, "initial loss")],
    )  # fmt: skip


def _finder(sweep: RateSweep) -> Panel:
    rates = np.array(sweep.rates)
    least, first = min(sweep.smoothed), sweep.smoothed[0]
    lines = [
        Line("each step", rates, np.array(sweep.losses), colour=COLOURS[7]),
        Line("smoothed", rates, np.array(sweep.smoothed), colour=COLOURS[0]),
        Line(f"suggested: {sweep.suggestion:g}", np.full(2, sweep.suggestion),
             np.array([0, 9 * first]), colour=COLOURS[1], style=":"),
    ]  # fmt: skip
    fall = max(first - least, 0.05)
    limits = (least - 1.5 * fall, first + 1.5 * fall)
    return Panel(
        "Rising learning rate", "learning rate", "loss in nats", lines, log_x=True, limits=limits
    )


def _parabola() -> Panel:
    steps = np.arange(_PARABOLA_STEPS + 1, dtype=np.float64)
    lines = [
        Line(f"rate {rate:g}", steps, np.power(1 - rate, steps), colour=colour, marker=".")
        for rate, colour in zip(_PARABOLA, COLOURS, strict=False)
    ]
    return Panel("w by step", "step", "w", lines, limits=(-2.2, 4), legend="upper left")


def _table(runs: Sequence[History], suggestion: float) -> Table:
    rows = tuple(
        (float(run.key), float(run.key) * suggestion, run.seed, epoch, *values)
        for run in runs
        for epoch, values in enumerate(
            zip(run.training_loss, run.training_accuracy, run.validation_loss,
                run.validation_accuracy, strict=True)
        )
    )  # fmt: skip
    header = ("multiple", "rate", "seed", "epoch", "training_loss", "training_accuracy")
    return Table((*header, "validation_loss", "validation_accuracy"), rows)


def _finder_table(sweep: RateSweep) -> Table:
    return Table(
        ("rate", "loss", "smoothed"),
        tuple(zip(sweep.rates, sweep.losses, sweep.smoothed, strict=True)),
    )
