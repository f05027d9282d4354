"""Full-batch gradient descent against mini-batches: by passes, by seconds, and how they wander.

Sources: Robbins and Monro, 1951, https://doi.org/10.1214/aoms/1177729586; LeCun et al., 1998,
Efficient BackProp, https://doi.org/10.1007/3-540-49430-8_2, section 4.1; Masters and Luschi, 2018,
https://arxiv.org/abs/1804.07612.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from edgecat.report.charts import COLOURS
from edgecat.report.page import table
from edgecat.study.frame import Advance, Outcome, Section, Table
from edgecat.study.gradients import gradient
from edgecat.study.learning import judged, learn, seeded, shuffled
from edgecat.study.pictures import Material, Pictures
from edgecat.study.plain import PlainStudy
from edgecat.study.plots import Line, Panel, band, drawn
from edgecat.study.words import nats, short
from edgecat.training.optim import make_optimizer

_SHOWN_STEPS = 32
_DRAWS = 24
_JUDGED = (0, 4, 8)  # passes after which gradients are compared


@dataclass(frozen=True, kw_only=True)
class Batch(PlainStudy):
    """One network, learning from all pictures at once or from a few at a time.

    Attributes:
        batches: pictures a step; all of them as well.
        full_epochs: passes, and steps, with all pictures at once.
        full_trial: of these, to try a rate.
        looks: how often a pass the loss is measured, with mini-batches.
    """

    batches: tuple[int, ...] = (8, 32, 128)
    validation: int = 2
    epochs: int = 20
    full_epochs: int = 100
    full_trial: int = 24
    looks: int = 2

    @property
    def steps(self) -> int:
        """Pictures to draw and passes to make."""
        passes = self.full_epochs + self.epochs * len(self.batches)
        return self.pictures + self.validation + passes * self.seeds

    def run(self, advance: Advance = lambda steps: None) -> Outcome:
        """Find a rate for each size, learn with each, and compare gradients on the way."""
        found = self.found(advance)
        sizes = [*(b for b in self.batches if b < len(found.training)), len(found.training)]
        rates = {size: self._rate(found, size) for size in sizes}
        walks = [
            self._walk(found, size, rates[size], seed, advance)
            for seed in self.each_seed
            for size in sizes
        ]
        return outcome(self, found, walks, list(self._cosines(found, sizes, rates)))

    def _rate(self, found: Material, size: int) -> float:
        if size == len(found.training):
            return self.tuned(found, "gd", trial=self.full_trial)
        return self.tuned(found, "sgd", batch=size)

    def _walk(self, found: Material, size: int, rate: float, seed: int, advance: Advance) -> Walk:
        full = size == len(found.training)
        epochs = self.full_epochs if full else self.epochs
        with seeded(seed) as random:
            model = self.network(found)
            stepper = make_optimizer(model, "sgd", lr=rate, weight_decay=0)
            track = _Track(model, found.training, -(-len(found.training) // size), self.looks)
            for _ in range(epochs):
                for part in shuffled(found.training, size, random):
                    started = perf_counter()
                    learn(model, stepper, part)
                    track.stepped(perf_counter() - started)
                advance(1)
        return track.walk(size, seed, rate, keep_path=seed == self.seed)

    def _cosines(
        self, found: Material, sizes: Sequence[int], rates: Mapping[int, float]
    ) -> Iterator[Cosine]:
        """Compare gradients of a few pictures with that of all, along one path."""
        middle = sizes[len(sizes) // 2 - 1]
        for seed in self.each_seed:
            with seeded(seed) as random:
                model = self.network(found)
                stepper = make_optimizer(model, "sgd", lr=rates[middle], weight_decay=0)
                for epoch in range(max(_JUDGED) + 1):
                    whole = gradient(model, found.training)
                    for size in sizes[:-1] if epoch in _JUDGED else ():
                        yield _cosine(model, found.training, size, epoch, seed, whole, random)
                    for part in shuffled(found.training, middle, random):
                        learn(model, stepper, part)


@dataclass(frozen=True)
class Walk:
    """One way down.

    Attributes:
        batch: pictures a step.
        seed: of weights and order.
        rate: of learning.
        passes: over the pictures, at each look.
        seconds: spent learning until then.
        losses: on all pictures then, in nats.
        length: of all steps together, in weight space.
        distance: from the first weights to the last, in a straight line.
        path: the weights before each of the first steps, float32 (steps, weights); empty unless
            kept.
    """

    batch: int
    seed: int
    rate: float
    passes: tuple[float, ...]
    seconds: tuple[float, ...]
    losses: tuple[float, ...]
    length: float
    distance: float
    path: Tensor

    @property
    def wander(self) -> float:
        """The length of its path, as a multiple of how far it came."""
        return self.length / max(self.distance, 1e-12)

    def reached(self, loss: float) -> tuple[float, float]:
        """Seconds and passes of learning until the loss was as low; infinite if it never was."""
        looks = zip(self.seconds[1:], self.passes[1:], self.losses[1:], strict=True)
        for seconds, passes, value in looks:
            if value <= loss:
                return seconds, passes
        return float("inf"), float("inf")


@dataclass(frozen=True)
class Cosine:
    """How well gradients of a few pictures point the way of all: 1 for the very same direction."""

    batch: int
    epoch: int
    seed: int
    mean: float


class _Track:
    """Follows a model: its loss now and then, every step's length, its first steps' weights."""

    def __init__(self, model: nn.Module, pictures: Pictures, steps: int, looks: int) -> None:
        self.model, self.pictures = model, pictures
        self.in_pass, self.every = steps, max(1, steps // looks)
        self.seconds = self.length = 0.0
        self.done = 0
        self.rows: list[tuple[float, float, float]] = []
        self.start = self.last = self._weights()
        self.path = [self.start]
        self._look()

    def stepped(self, seconds: float) -> None:
        self.seconds += seconds
        self.done += 1
        weights = self._weights()
        self.length += float((weights - self.last).norm())
        self.last = weights
        if len(self.path) <= _SHOWN_STEPS:
            self.path.append(weights)
        if self.done % self.in_pass % self.every == 0:
            self._look()

    def walk(self, batch: int, seed: int, rate: float, *, keep_path: bool) -> Walk:
        passes, seconds, losses = (tuple(column) for column in zip(*self.rows, strict=True))
        path = torch.stack(self.path) if keep_path else torch.zeros(0, 0)
        distance = float((self.last - self.start).norm())
        return Walk(batch, seed, rate, passes, seconds, losses, self.length, distance, path)

    def _look(self) -> None:
        loss = judged(self.model, self.pictures)[0]
        self.model.train()
        self.rows.append((self.done / self.in_pass, self.seconds, loss))

    def _weights(self) -> Tensor:
        return parameters_to_vector(self.model.parameters()).detach().clone()


def _cosine(
    model: nn.Module,
    pictures: Pictures,
    size: int,
    epoch: int,
    seed: int,
    whole: Tensor,
    random: torch.Generator,
) -> Cosine:
    values = []
    for _ in range(_DRAWS):
        some = torch.randperm(len(pictures), generator=random)[:size]
        values.append(torch.cosine_similarity(gradient(model, pictures[some]), whole, dim=0))
    return Cosine(size, epoch, seed, float(torch.stack(values).mean()))


def outcome(
    study: Batch, found: Material, walks: Sequence[Walk], cosines: Sequence[Cosine]
) -> Outcome:
    """Turn the figures into sentences, plots and tables."""
    races = raced(walks)
    best = min(races, key=lambda race: race.seconds)
    closeness = {
        size: float(np.mean([c.mean for c in cosines if c.batch == size]))
        for size in dict.fromkeys(c.batch for c in cosines)
    }
    wander = {
        size: float(np.mean([w.wander for w in walks if w.batch == size]))
        for size in dict.fromkeys(w.batch for w in walks)
    }
    return Outcome(
        lead=f"One network of {study.depth} layers, without momentum, on "
        f"{found.about.partition(', and ')[0]}. It learns from all at once, or "
        "from a few a step, each at a rate that was tuned for it.",
        finding=finding(races, closeness, wander),
        facts=[
            (f"{short(1 / best.share)} x", f"as fast in seconds with batches of {best.batch}"),
            (f"{closeness[min(closeness)]:.2f}", f"cosine of {min(closeness)} pictures' gradient "
             "to that of all"),
            (f"{short(wander[min(wander)])} x", f"its own distance: the path in batches of "
             f"{min(wander)}"),
        ],
        sections=_sections(walks, cosines, races, wander),
        tables={"": _walks_table(walks), "cosine": _cosines_table(cosines)},
        figures={
            "target_loss": best.target,
            "seconds_share": {str(race.batch): _known(race.share) for race in races},
            "passes": {str(race.batch): _known(race.passes) for race in races},
            "cosine": {str(size): value for size, value in closeness.items()},
            "wander": {str(size): value for size, value in wander.items()},
        },
        skipped=found.skipped,
    )  # fmt: skip


@dataclass(frozen=True)
class Race:
    """How soon batches of one size were as good as the full batch ever was; means over seeds.

    Attributes:
        batch: pictures a step.
        target: the loss, in nats.
        seconds: of learning; infinite where a run never got there.
        passes: likewise.
        share: of the seconds that the full batch took.
    """

    batch: int
    target: float
    seconds: float
    passes: float
    share: float


def raced(walks: Sequence[Walk]) -> list[Race]:
    """Race mini-batches against the full batch, seed by seed, to the least loss that it had."""
    full = max(walk.batch for walk in walks)
    rows: dict[int, list[tuple[float, ...]]] = {}
    for reference in (walk for walk in walks if walk.batch == full):
        target = min(reference.losses[1:])
        allowed = reference.reached(target)[0]
        for walk in walks:
            if walk.seed == reference.seed:
                seconds, passes = walk.reached(target)
                row = (target, seconds, passes, seconds / allowed)
                rows.setdefault(walk.batch, []).append(row)
    return [Race(size, *np.mean(each, 0).tolist()) for size, each in rows.items()]


def finding(
    races: Sequence[Race], closeness: Mapping[int, float], wander: Mapping[int, float]
) -> tuple[str, str]:
    """Say in two sentences what the figures show: of speed, and of direction."""
    full = max(races, key=lambda race: race.batch)
    best = min((race for race in races if race is not full), key=lambda race: race.seconds)
    if math.isinf(best.share):
        first = (
            f"In the passes that they were given, no mini-batch came in every run to the loss of "
            f"{nats(full.target)} that full-batch gradient descent reaches in {full.passes:.0f} "
            "passes: the lecture's claim is not shown here."
        )
    elif best.share >= 1:
        first = (
            f"No mini-batch was sooner at the loss of {nats(full.target)} that full-batch gradient "
            f"descent reaches in {full.passes:.0f} passes: the lecture's claim does not hold here."
        )
    else:
        claim = (
            "a tenth of the time or better, as the lecture promises"
            if best.share <= 0.1
            else "sooner, but not in a tenth of the time"
        )
        first = (
            f"Full-batch gradient descent comes to a loss of {nats(full.target)} in "
            f"{full.passes:.0f} passes and {full.seconds:.1f} seconds, batches of {best.batch} in "
            f"{best.passes:.1f} passes and {best.seconds:.1f} seconds, {short(1 / best.share)} "
            f"times as fast: {claim}."
        )
    few, many = min(closeness), max(closeness)
    rough = (
        "smaller batches see less clearly and wander more, as the lecture says"
        if closeness[few] < closeness[many] and wander[few] > wander[max(wander)]
        else "smaller batches do not wander more here, against the lecture"
    )
    second = (
        f"The gradient of {few} pictures points the way of all with a cosine of "
        f"{closeness[few]:.2f}, that of {many} with {closeness[many]:.2f}, and the path in batches "
        f"of {few} is {wander[few]:.1f} times as long as the way it gets, against "
        f"{wander[max(wander)]:.1f} times with all: {rough}."
    )
    return first, second


def _sections(
    walks: Sequence[Walk],
    cosines: Sequence[Cosine],
    races: Sequence[Race],
    wander: Mapping[int, float],
) -> list[Section]:
    target = float(np.mean([race.target for race in races]))
    rates = {walk.batch: walk.rate for walk in walks}
    rows = [
        (_name(race.batch, races), f"{rates[race.batch]:g}",
         *((f"{race.passes:.1f}", f"{race.seconds:.2f}", f"{race.share:.3f}")
           if math.isfinite(race.share) else ("not there", "", "")),
         f"{wander[race.batch]:.1f}")
        for race in races
    ]  # fmt: skip
    header = ("pictures a step", "rate", "passes", "seconds", "share of full batch", "path / way")
    return [
        Section(
            "The same pictures, the same clock",
            "Loss on all pictures against passes over them and against the seconds spent learning; "
            "measuring is not counted. A pass with the full batch is a single step.",
            drawn(_loss_panels(walks, target), "Loss by passes and by seconds"),
        ),
        Section(
            "Until it is as good as the full batch",
            "Passes and seconds to the lowest loss that the full batch had, means over the seeds; "
            "and the length of the path in weight space over the straight way from first to last.",
            table(header, rows, left=(0,)),
        ),
        Section(
            "How it wanders",
            f"Left: the first {_SHOWN_STEPS} steps of each from the same weights, seen in the "
            "plane in which they differ most. Right: the cosine between the gradient of a few "
            "pictures and that of all of them, at the same weights, as learning goes on.",
            drawn([_path_panel(walks), _cosine_panel(cosines)], "Paths and cosines"),
        ),
    ]


def _loss_panels(walks: Sequence[Walk], target: float) -> list[Panel]:
    by_pass, by_second = [], []
    full = max(walk.batch for walk in walks)
    for size, colour in _colours(walks).items():
        runs = [walk for walk in walks if walk.batch == size]
        name = "all at once" if size == full else f"{size} a step"
        losses = [walk.losses for walk in runs]
        by_pass.append(band(name, runs[0].passes, losses, colour))
        seconds = np.mean([walk.seconds for walk in runs], 0)
        by_second.append(band(name, seconds, losses, colour))
    rules = [(target, "the full batch's best")]
    return [
        Panel("By passes", "passes over the pictures", "loss in nats", by_pass, rules=rules),
        Panel("By seconds", "seconds of learning", "loss in nats", by_second, rules=rules,
              legend=""),
    ]  # fmt: skip


def _path_panel(walks: Sequence[Walk]) -> Panel:
    """Project the kept paths onto their two principal directions."""
    kept = [walk for walk in walks if len(walk.path)]
    start = kept[0].path[0]
    points = torch.cat([walk.path for walk in kept]) - start
    values, vectors = torch.linalg.eigh(points @ points.T)
    flat = vectors[:, -2:].flip(1) * values[-2:].flip(0).clamp(min=0).sqrt()
    pieces = torch.split(flat, [len(walk.path) for walk in kept])
    lines = []
    for walk, piece in zip(kept, pieces, strict=True):
        xy = (piece - piece[0]).double().numpy()
        colour = _colours(walks)[walk.batch]
        lines.append(Line(str(walk.batch), xy[:, 0], xy[:, 1], colour=colour, marker="."))
    return Panel("The first steps", "main direction", "second direction", lines)


def _cosine_panel(cosines: Sequence[Cosine]) -> Panel:
    sizes = list(dict.fromkeys(c.batch for c in cosines))
    seeds = list(dict.fromkeys(c.seed for c in cosines))
    lines = []
    for epoch, colour in zip(dict.fromkeys(c.epoch for c in cosines), COLOURS[3:], strict=False):
        runs = [[c.mean for c in cosines if (c.epoch, c.seed) == (epoch, seed)] for seed in seeds]
        name = "at the start" if not epoch else f"after pass {epoch}"
        lines.append(band(name, sizes, runs, colour, marker="o"))
    return Panel(
        "Which way?", "pictures a step", "cosine to the full gradient", lines, log_x=True,
        ticks=sizes, limits=(0, 1.02),
    )  # fmt: skip


def _walks_table(walks: Sequence[Walk]) -> Table:
    rows = tuple(
        (walk.batch, walk.seed, walk.rate, *values, walk.wander)
        for walk in walks
        for values in zip(walk.passes, walk.seconds, walk.losses, strict=True)
    )
    return Table(("batch", "seed", "rate", "passes", "seconds", "loss", "wander"), rows)


def _cosines_table(cosines: Sequence[Cosine]) -> Table:
    rows = tuple((c.batch, c.epoch, c.seed, c.mean) for c in cosines)
    return Table(("batch", "epoch", "seed", "cosine"), rows)


def _colours(walks: Sequence[Walk]) -> dict[int, str]:
    sizes = sorted({walk.batch for walk in walks}, reverse=True)
    return dict(zip(sizes, COLOURS, strict=False))


def _known(value: float) -> float | None:
    """For JSON, which has no infinity."""
    return value if math.isfinite(value) else None


def _name(batch: int, races: Sequence[Race]) -> str:
    return f"all {batch}" if batch == max(race.batch for race in races) else str(batch)
