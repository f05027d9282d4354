"""The findings in sentences, plots and tables."""

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
    """Present the figures as sentences, plots and tables."""
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
        f"{found.about.partition(', and ')[0]}. It is trained with the full batch or "
        "with mini-batches, each at its own tuned learning rate.",
        finding=finding(races, closeness, wander),
        facts=[
            (f"{short(1 / best.share)} x", f"speed-up in time with batches of {best.batch}"),
            (f"{closeness[min(closeness)]:.2f}", f"cosine of {min(closeness)} images' gradient "
             "with the full gradient"),
            (f"{short(wander[min(wander)])} x", f"path length over distance with batches of "
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
    """The cost for one batch size to reach the full batch's lowest loss; means over seeds.

    Attributes:
        batch: batch size.
        target: the target loss, in nats.
        seconds: training time; infinite if a run never reached it.
        passes: epochs, likewise.
        share: fraction of the full batch's training time.
    """

    batch: int
    target: float
    seconds: float
    passes: float
    share: float


def raced(walks: Sequence[Walk]) -> list[Race]:
    """Race mini-batches against the full batch, seed by seed, to its lowest loss."""
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
    """Summarise the figures in two sentences: speed and direction."""
    full = max(races, key=lambda race: race.batch)
    best = min((race for race in races if race is not full), key=lambda race: race.seconds)
    if math.isinf(best.share):
        first = (
            f"Within their epochs, no batch size reached in every run the loss of "
            f"{nats(full.target)} that full-batch gradient descent reaches in {full.passes:.0f} "
            "epochs: the lecture's claim is not confirmed here."
        )
    elif best.share >= 1:
        first = (
            f"No batch size was faster to the loss of {nats(full.target)} that full-batch gradient "
            f"descent reaches in {full.passes:.0f} epochs: the lecture's claim does not hold here."
        )
    else:
        claim = (
            "a tenth of the time or less, as the lecture promises"
            if best.share <= 0.1
            else "faster, but not in a tenth of the time"
        )
        first = (
            f"Full-batch gradient descent reaches a loss of {nats(full.target)} in "
            f"{full.passes:.0f} epochs and {full.seconds:.1f} seconds, batches of {best.batch} in "
            f"{best.passes:.1f} epochs and {best.seconds:.1f} seconds, {short(1 / best.share)} "
            f"times as fast: {claim}."
        )
    few, many = min(closeness), max(closeness)
    rough = (
        "smaller batches have noisier gradients and wander more, as the lecture says"
        if closeness[few] < closeness[many] and wander[few] > wander[max(wander)]
        else "smaller batches do not wander more here, contrary to the lecture"
    )
    second = (
        f"The cosine with the full gradient is {closeness[few]:.2f} for {few} images and "
        f"{closeness[many]:.2f} for {many}, and the path with batches "
        f"of {few} is {wander[few]:.1f} times as long as its distance, against "
        f"{wander[max(wander)]:.1f} times with the full batch: {rough}."
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
           if math.isfinite(race.share) else ("not reached", "", "")),
         f"{wander[race.batch]:.1f}")
        for race in races
    ]  # fmt: skip
    header = ("batch size", "rate", "epochs", "seconds", "of full batch", "path / distance")
    return [
        Section(
            "Loss by epochs and by time",
            "Loss on all training images against epochs and against training time, "
            "excluding measurements. An epoch with the full batch is a single step.",
            drawn(_loss_panels(walks, target), "Loss by epochs and by seconds"),
        ),
        Section(
            "Time to the full batch's loss",
            "Epochs and seconds to the full batch's lowest loss, means over the seeds; "
            "and the path length in weight space divided by the straight-line distance.",
            table(header, rows, left=(0,)),
        ),
        Section(
            "Paths",
            f"Left: the first {SHOWN_STEPS} steps from the same weights, projected onto the "
            "plane of largest variance. Right: the cosine between mini-batch "
            "gradients and the full gradient at the same weights, during training.",
            drawn([_path_panel(walks), _cosine_panel(cosines)], "Paths and cosines"),
        ),
    ]


def _loss_panels(walks: Sequence[Walk], target: float) -> list[Panel]:
    by_pass, by_second = [], []
    full = max(walk.batch for walk in walks)
    for size, colour in _colours(walks).items():
        runs = [walk for walk in walks if walk.batch == size]
        name = "full batch" if size == full else f"batch {size}"
        losses = [walk.losses for walk in runs]
        by_pass.append(band(name, runs[0].passes, losses, colour))
        seconds = np.mean([walk.seconds for walk in runs], 0)
        by_second.append(band(name, seconds, losses, colour))
    rules = [(target, "full batch, best")]
    return [
        Panel("By epochs", "epochs", "loss in nats", by_pass, rules=rules),
        Panel("By time", "training time, s", "loss in nats", by_second, rules=rules,
              legend=""),
    ]  # fmt: skip


def _path_panel(walks: Sequence[Walk]) -> Panel:
    """Project the recorded paths onto their two principal directions."""
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
    return Panel("First steps", "first component", "second component", lines)


def _cosine_panel(cosines: Sequence[Cosine]) -> Panel:
    sizes = list(dict.fromkeys(c.batch for c in cosines))
    seeds = list(dict.fromkeys(c.seed for c in cosines))
    lines = []
    for epoch, colour in zip(dict.fromkeys(c.epoch for c in cosines), COLOURS[3:], strict=False):
        runs = [[c.mean for c in cosines if (c.epoch, c.seed) == (epoch, seed)] for seed in seeds]
        name = "initial" if not epoch else f"after epoch {epoch}"
        lines.append(band(name, sizes, runs, colour, marker="o"))
    return Panel(
        "Gradient direction", "batch size", "cosine with the full gradient", lines, log_x=True,
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
    """Replace infinity, which JSON does not have."""
    return value if math.isfinite(value) else None


def _name(batch: int, races: Sequence[Race]) -> str:
    return f"all {batch}" if batch == max(race.batch for race in races) else str(batch)
