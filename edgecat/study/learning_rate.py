"""How large can the learning rate be? From far too small to far too large.

On a parabola of curvature c gradient descent converges below a rate of 2 / c and diverges above
(LeCun et al., 1998, Efficient BackProp, https://doi.org/10.1007/3-540-49430-8_2, section 5.1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from edgecat.report.charts import COLOURS
from edgecat.report.page import table
from edgecat.study.frame import Advance, Outcome, Section, Table
from edgecat.study.learning import History, climbed, seeded
from edgecat.study.material import Material
from edgecat.study.parabola import parabola_figure
from edgecat.study.plain import PlainStudy
from edgecat.study.plots import Line, Panel, band, drawn
from edgecat.study.words import nats, tr
from edgecat.training.finder import RateSweep


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

    def measured(self, advance: Advance = lambda steps: None) -> Callable[[], Outcome]:
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
        return partial(outcome, self, found, sweep, runs)


def outcome(
    study: LearningRate, found: Material, sweep: RateSweep, runs: Sequence[History]
) -> Outcome:
    """Present the figures as sentences, plots and tables."""
    final = {share: last_loss(runs, share) for share in study.shares}
    start = float(np.mean([run.training_loss[0] for run in runs]))
    best = min(final, key=lambda share: final[share])
    return Outcome(
        lead=tr(
            "One network of {depth} layers, stochastic gradient descent without momentum, {epochs} "
            "epochs on {images}.",
            depth=study.depth,
            epochs=study.epochs,
            images=found.about,
        ),
        finding=finding(final, start, sweep.suggestion),
        facts=[
            (f"{sweep.suggestion:g}", tr("learning rate suggested by the finder")),
            (
                f"{best * sweep.suggestion:.2g}",
                tr("best rate tried: {multiple:g} times the suggestion", multiple=best),
            ),
            (
                nats(final[best]),
                tr(
                    "its loss after {epochs} epochs; initially {start:.2f}",
                    epochs=study.epochs,
                    start=start,
                ),
            ),
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
    slow = tr("far too small") if final[low] > learnt else tr("small, but it trains")
    wild = tr("far too large") if final[high] > learnt else tr("large, but it still trains")
    first = tr(
        "From a loss of {start:.3f}, the suggested rate of {suggestion:g} reaches {loss}; {low:g} "
        "times it reaches {low_loss} ({slow}), {high:g} times it {high_loss} ({wild}).",
        start=start, suggestion=suggestion, loss=nats(final[1.0]), low=low,
        low_loss=nats(final[low]), slow=slow, high=high, high_loss=nats(final[high]), wild=wild,
    )  # fmt: skip
    enough = final[best] + 0.2 * max(start - final[best], 0)
    good = [share for share, loss in final.items() if loss <= enough]
    held = final[low] > learnt and final[high] > learnt and final[best] < learnt
    verdict = (
        tr("a rate must be neither too small nor too large, as the lecture says")
        if held
        else tr("the lecture's two limits do not both appear here")
    )
    multiple = (
        tr("the suggestion itself")
        if best == 1
        else tr("{multiple:g} times the suggestion", multiple=best)
    )
    others = (
        tr(
            "from {low:.2g} to {high:.2g} the loss was about as low",
            low=min(good) * suggestion, high=max(good) * suggestion,
        )
        if len(good) > 1
        else tr("no other rate came close")
    )  # fmt: skip
    second = tr(
        "The best was {rate:.2g}, {multiple}, and {others}: {verdict}.",
        rate=best * suggestion, multiple=multiple, others=others, verdict=verdict,
    )  # fmt: skip
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
    names = (tr("times the suggestion"), tr("rate"), tr("final loss"))
    header = (*names, tr("validation accuracy"))
    return [
        Section(
            tr("Too small, suitable, too large"),
            tr(
                "Training loss per epoch, and final training loss by rate. A line that ends has "
                "diverged."
            ),
            drawn(
                [_curves(study, runs, start), _valley(study, sweep, runs, start)],
                tr("Loss by epoch and by rate"),
            )
            + table(header, rows, left=()),
        ),
        Section(
            tr("The learning-rate finder"),
            tr(
                "The finder raises the rate during training and suggests a third of the highest "
                "rate at which the loss was still low (Smith, 2015)."
            ),
            drawn([_finder(sweep)], tr("The finder's sweep"), columns=1),
        ),
        Section(
            tr("Why: gradient descent on a parabola"),
            tr(
                "Gradient descent on w²/2, with curvature 1, from w = 1. Every step multiplies w "
                "by 1 - rate: below 1 it converges, at 1 in one step, up to 2 with oscillations, "
                "and above 2 it diverges. A network's direction of highest curvature sets its "
                "limit."
            ),
            parabola_figure(),
        ),
    ]


def _curves(study: LearningRate, runs: Sequence[History], start: float) -> Panel:
    lines = [
        band(
            f"{share:g} x",  # a multiple, the same in every language
            range(study.epochs + 1),
            np.clip([r.training_loss for r in runs if r.key == f"{share:g}"], 0, 100 * start),
            colour,
        )
        for share, colour in zip(study.shares, COLOURS, strict=False)
    ]
    return Panel(
        tr("Loss by multiple of the suggested rate"), tr("epoch"), tr("loss in nats"), lines,
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
        tr("After the last epoch"), tr("learning rate"), tr("loss in nats"), [line], log_x=True,
        limits=(0, 1.6 * start), rules=[(start, tr("initial loss"))],
    )  # fmt: skip


def _finder(sweep: RateSweep) -> Panel:
    rates = np.array(sweep.rates)
    least, first = min(sweep.smoothed), sweep.smoothed[0]
    lines = [
        Line(tr("each step"), rates, np.array(sweep.losses), colour=COLOURS[7]),
        Line(tr("smoothed"), rates, np.array(sweep.smoothed), colour=COLOURS[0]),
        Line(tr("suggested: {rate:g}", rate=sweep.suggestion), np.full(2, sweep.suggestion),
             np.array([0, 9 * first]), colour=COLOURS[1], style=":"),
    ]  # fmt: skip
    fall = max(first - least, 0.05)
    limits = (least - 1.5 * fall, first + 1.5 * fall)
    return Panel(
        tr("Rising learning rate"), tr("learning rate"), tr("loss in nats"), lines, log_x=True,
        limits=limits,
    )  # fmt: skip


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
