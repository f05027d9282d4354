"""What was found, in sentences, plots and tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from edgecat.report.charts import COLOURS
from edgecat.report.page import table
from edgecat.study.batch.measured import SHOWN_STEPS, Cosine, Measurements, Walk
from edgecat.study.frame import Outcome, Section, Table
from edgecat.study.pictures import Material
from edgecat.study.plots import Line, Panel, band, drawn
from edgecat.study.words import nats, short


def outcome(
    study: Measurements, found: Material, walks: Sequence[Walk], cosines: Sequence[Cosine]
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
            f"Left: the first {SHOWN_STEPS} steps of each from the same weights, seen in the "
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
