"""Which optimiser is the fastest? Nine optimisers, on a network and on three surfaces.

Their papers are listed in `edgecat.training.optim`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from edgecat.report.charts import COLOURS, INK, key
from edgecat.report.page import table
from edgecat.study.curves import at_the_end, by_pass, history_table
from edgecat.study.film import SCRIPT, film
from edgecat.study.frame import Advance, Outcome, Section, Table
from edgecat.study.learning import History
from edgecat.study.material import Material
from edgecat.study.plain import PlainStudy
from edgecat.study.plots import drawn
from edgecat.study.surfaces import SURFACES, Descent, descents
from edgecat.study.words import nats, tr

_EACH = (*COLOURS, INK)


@dataclass(frozen=True, kw_only=True)
class Optimizers(PlainStudy):
    """One network, trained with each optimiser at its own tuned learning rate.

    Attributes:
        names: names of the optimisers, including `adam`.
        ways: number of steps on the surfaces.
    """

    names: tuple[str, ...] = (
        *("gd", "sgd", "momentum", "nag", "adagrad"),
        *("rmsprop", "adadelta", "adam", "nadam"),
    )
    ways: int = 120

    @property
    def steps(self) -> int:
        """Number of images to draw, epochs to train and descents to make."""
        learning = len(self.names) * self.seeds * self.epochs
        return self.pictures + self.validation + learning + len(self.names) * len(SURFACES)

    def measured(self, advance: Advance = lambda steps: None) -> Callable[[], Outcome]:
        """Descend the surfaces, tune each optimiser, then train with it."""
        found = self.found(advance)
        ways = descents(self.names, steps=self.ways, seed=self.seed, advance=advance)
        rates = {name: self.tuned(found, name) for name in self.names}
        runs = [
            self.history(found, name, seed=seed, optimizer=name, rate=rates[name], advance=advance)
            for name in self.names
            for seed in self.each_seed
        ]
        return partial(outcome, self, found, rates, runs, ways)


def outcome(
    study: Optimizers,
    found: Material,
    rates: Mapping[str, float],
    runs: Sequence[History],
    ways: Sequence[Descent],
) -> Outcome:
    """Present the figures as sentences, plots and tables."""
    losses = {name: at_the_end(runs, name, "training_loss") for name in study.names}
    spread = {
        name: float(np.ptp([run.training_loss[-1] for run in runs if run.key == name]))
        for name in study.names
    }
    ranked = sorted(losses, key=lambda name: losses[name])
    return Outcome(
        lead=tr(
            "One network of {depth} layers, {epochs} epochs on {images}, with each of {count} "
            "optimisers at its own constant learning rate.",
            depth=study.depth,
            epochs=study.epochs,
            images=found.about,
            count=len(study.names),
        ),
        finding=finding(losses, spread, ways),
        facts=[
            (ranked[0], tr("lowest loss: {loss}", loss=nats(losses[ranked[0]]))),
            (
                nats(losses["adam"]),
                tr("Adam's loss, rank {rank} of {count}", rank=ranked.index("adam") + 1,
                   count=len(ranked)),
            ),
            (ranked[-1], tr("highest loss: {loss}", loss=nats(losses[ranked[-1]]))),
        ],
        sections=_sections(study, rates, runs, ways, ranked),
        tables={"": history_table(runs, "optimizer"), "paths": _ways_table(ways)},
        figures={
            "rates": dict(rates),
            "loss": {name: nats(losses[name]) for name in ranked},
            "arrived": {f"{way.surface}-{way.optimizer}": way.arrived for way in ways},
        },
        script=SCRIPT,
        skipped=found.skipped,
    )  # fmt: skip


def finding(
    losses: Mapping[str, float], spread: Mapping[str, float], ways: Sequence[Descent]
) -> tuple[str, str]:
    """Summarise the figures in two sentences: the network and the surfaces.

    Args:
        losses: the mean training loss after the last epoch, by optimiser.
        spread: difference between the best and the worst seed, by optimiser.
        ways: the descents on the surfaces.
    """
    ranked = sorted(losses, key=lambda name: losses[name])
    place = ranked.index("adam") + 1
    near = losses["adam"] <= losses[ranked[0]] + max(spread["adam"], spread[ranked[0]])
    verdict = (
        tr("the lecture's advice, Adam when in doubt, holds")
        if place == 1
        else tr("Adam is not first, but within the spread of the seeds")
        if near
        else tr("the lecture's advice, Adam when in doubt, was not the best here")
    )
    first = tr(
        "After the same epochs {best} has the lowest loss, {loss}; Adam ranks {rank} of {count} "
        "with {adam}, and {worst} last with {worst_loss}: {verdict}.",
        best=ranked[0], loss=nats(losses[ranked[0]]), rank=place, count=len(ranked),
        adam=nats(losses["adam"]), worst=ranked[-1], worst_loss=nats(losses[ranked[-1]]),
        verdict=verdict,
    )  # fmt: skip
    told = []
    for surface in dict.fromkeys(way.surface for way in ways):
        there = [w for w in ways if w.surface == surface and w.arrived >= 0]
        quick = min(there, key=lambda way: way.arrived, default=None)
        plain = next((w.arrived for w in there if w.optimizer == "gd"), -1)
        where = (
            tr("the {surface}", surface=tr(surface))
            if surface.islower()
            else tr("{surface}'s function", surface=tr(surface))
        )
        if quick is None:
            told.append(tr("none on {surface}", surface=where))
            continue
        other = tr("after {step}", step=plain) if plain >= 0 else tr("never")
        told.append(
            tr("{optimizer} on {surface} (step {step}; gd {other})", optimizer=quick.optimizer,
               surface=where, step=quick.arrived, other=other)
        )  # fmt: skip
    return first, tr(
        "First at the minimum, each at its best rate: {winners}.", winners=", ".join(told)
    )


def _sections(
    study: Optimizers,
    rates: Mapping[str, float],
    runs: Sequence[History],
    ways: Sequence[Descent],
    ranked: Sequence[str],
) -> list[Section]:
    colours = dict(zip(study.names, _EACH, strict=False))
    rows = [
        (f"{key(colours[name])}{name}",
         f"{rates[name]:g}", nats(at_the_end(runs, name, "training_loss")),
         f"{at_the_end(runs, name, 'training_accuracy'):.1%}",
         f"{at_the_end(runs, name, 'validation_accuracy'):.1%}")
        for name in ranked
    ]  # fmt: skip
    names = (tr("optimiser"), tr("rate"), tr("loss"))
    header = (*names, tr("training accuracy"), tr("validation accuracy"))
    return [
        Section(
            tr("Three surfaces"), _surfaces_text(), film(ways, colours) + _arrivals(study, ways)
        ),
        Section(
            tr("The network"),
            tr(
                "Training loss and accuracy; gd takes one step per epoch, the others one per batch."
            ),
            drawn(
                [
                    by_pass(runs, "training_loss", tr("Loss"), colours, legend="best"),
                    by_pass(runs, "training_accuracy", tr("Training accuracy"), colours, legend=""),
                ],
                tr("Loss and accuracy by optimiser"),
            ),
        ),
        Section(
            tr("After the last epoch"),
            tr(
                "Each has its own rate: the best of 1, 3 and 10 times the learning-rate finder's "
                "suggestion, after {trial} epochs. Means over the seeds.",
                trial=study.trial,
            ),
            table(header, rows, left=(0,)),
        ),
    ]


def _surfaces_text() -> str:
    return tr(
        "All start at the same point, each at the best of 25 rates that keep it in view; a star "
        "marks a minimum. All use the exact gradient except sgd, whose gradient is noisy."
    )


def _arrivals(study: Optimizers, ways: Sequence[Descent]) -> str:
    """Return a table of the step at which each optimiser was within 1 % of the initial height."""
    arrived = {(way.surface, way.optimizer): (way.arrived, way.rate) for way in ways}
    rows = []
    for name in study.names:
        cells = [name]
        for surface in SURFACES:
            step, rate = arrived[surface.name, name]
            cells += [str(step) if step >= 0 else tr("not reached"), f"{rate:.2g}"]
        rows.append(cells)
    header = [tr("optimiser")]
    for surface in SURFACES:
        header += [tr("{surface}: steps", surface=tr(surface.name)), tr("rate")]
    return table(header, rows, left=(0,))


def _ways_table(ways: Sequence[Descent]) -> Table:
    rows = tuple(
        (way.surface, way.optimizer, way.rate, step, *point, height)
        for way in ways
        for step, (point, height) in enumerate(zip(way.points, way.heights, strict=True))
    )
    return Table(("surface", "optimizer", "rate", "step", "x", "y", "height"), rows)
