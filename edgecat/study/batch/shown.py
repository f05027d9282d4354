"""The findings in sentences, plots and tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from edgecat.report.charts import COLOURS
from edgecat.report.page import table
from edgecat.study.batch.measured import SHOWN_STEPS, Cosine, Measurements, Walk
from edgecat.study.batch.racing import Race, halved, raced
from edgecat.study.frame import Outcome, Section, Table
from edgecat.study.material import Material
from edgecat.study.plots import Line, Panel, band, drawn
from edgecat.study.words import nats, short, tr


def outcome(
    study: Measurements, found: Material, walks: Sequence[Walk], cosines: Sequence[Cosine]
) -> Outcome:
    """Present the figures as sentences, plots and tables."""
    races = raced(walks)
    halves = halved(walks)
    best = min(races, key=lambda race: race.seconds)
    closeness = {
        size: float(np.mean([c.mean for c in cosines if c.batch == size]))
        for size in dict.fromkeys(c.batch for c in cosines)
    }
    wander = {
        size: float(np.mean([w.wander for w in walks if w.batch == size]))
        for size in dict.fromkeys(w.batch for w in walks)
    }
    few = min(closeness)
    return Outcome(
        lead=tr(
            "One network of {depth} layers, without momentum, on {images}. It is trained with the "
            "full batch or with mini-batches, each at its own tuned learning rate.",
            depth=study.depth, images=found.learnt,
        ),
        finding=finding(races, closeness, wander, halves),
        facts=[
            (f"{short(1 / best.share)} x",
             tr("speed-up in time with batches of {batch}", batch=best.batch)),
            (f"{closeness[few]:.2f}",
             tr("cosine of {count} images' gradient with the full gradient", count=few)),
            (f"{short(wander[few])} x",
             tr("path length over distance with batches of {batch}", batch=few)),
        ],
        sections=_sections(walks, cosines, races, wander),
        tables={"": _walks_table(walks), "cosine": _cosines_table(cosines)},
        figures={
            "target_loss": best.target,
            "passes_to_half": {str(size): _known(passes) for size, (_, passes) in halves.items()},
            "seconds_share": {str(race.batch): _known(race.share) for race in races},
            "passes": {str(race.batch): _known(race.passes) for race in races},
            "cosine": {str(size): value for size, value in closeness.items()},
            "wander": {str(size): value for size, value in wander.items()},
        },
        skipped=found.skipped,
    )  # fmt: skip


def finding(
    races: Sequence[Race],
    closeness: Mapping[int, float],
    wander: Mapping[int, float],
    halves: Mapping[int, tuple[float, float]],
) -> tuple[str, str]:
    """Summarise the figures in two sentences: speed and direction.

    Args:
        races: from `raced`.
        closeness: cosine with the full gradient, by batch size.
        wander: path length over distance, by batch size.
        halves: from `halved`.
    """
    full = max(races, key=lambda race: race.batch)
    told = ", ".join(_half(size, full.batch, *halves[size]) for size in sorted(halves))
    first = tr("{race} Half the initial loss is reached: {told}.", race=_race(races), told=told)
    few, many = min(closeness), max(closeness)
    rough = (
        tr("smaller batches have noisier gradients and wander more, as the lecture says")
        if closeness[few] < closeness[many] and wander[few] > wander[max(wander)]
        else tr("smaller batches do not wander more here, contrary to the lecture")
    )
    second = tr(
        "The cosine with the full gradient is {close:.2f} for {few} images and {closer:.2f} for "
        "{many}, and the path with batches of {few} is {long:.1f} times as long as its distance, "
        "against {short:.1f} times with the full batch: {verdict}.",
        close=closeness[few], closer=closeness[many], few=few, many=many, long=wander[few],
        short=wander[max(wander)], verdict=rough,
    )  # fmt: skip
    return first, second


def _race(races: Sequence[Race]) -> str:
    """Say how mini-batches fare against the full batch."""
    full = max(races, key=lambda race: race.batch)
    best = min((race for race in races if race is not full), key=lambda race: race.seconds)
    target = nats(full.target)
    if math.isinf(best.share):
        return tr(
            "Within their epochs, no batch size reached in every run the loss of {target} that "
            "full-batch gradient descent reaches in {epochs:.0f} epochs: the lecture's claim is "
            "not confirmed here.",
            target=target, epochs=full.passes,
        )  # fmt: skip
    if best.share >= 1:
        return tr(
            "No batch size was faster to the loss of {target} that full-batch gradient descent "
            "reaches in {epochs:.0f} epochs: the lecture's claim does not hold here.",
            target=target, epochs=full.passes,
        )  # fmt: skip
    claim = (
        tr("a tenth of the time or less, as the lecture promises")
        if best.share <= 0.1
        else tr("faster, but not in a tenth of the time")
    )
    return tr(
        "Full-batch gradient descent reaches a loss of {target} in {epochs:.0f} epochs and "
        "{seconds:.1f} seconds, batches of {batch} in {their_epochs:.1f} epochs and "
        "{their_seconds:.1f} seconds, {times} times as fast: {claim}.",
        target=target, epochs=full.passes, seconds=full.seconds, batch=best.batch,
        their_epochs=best.passes, their_seconds=best.seconds, times=short(1 / best.share),
        claim=claim,
    )  # fmt: skip


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
           if math.isfinite(race.share) else (tr("not reached"), "", "")),
         f"{wander[race.batch]:.1f}")
        for race in races
    ]  # fmt: skip
    names = (tr("batch size"), tr("rate"), tr("epochs"), tr("seconds"))
    header = (*names, tr("of full batch"), tr("path / distance"))
    return [
        Section(
            tr("Loss by epochs and by time"),
            tr(
                "Loss on all training images against epochs and against training time, excluding "
                "measurements. An epoch with the full batch is a single step."
            ),
            drawn(_loss_panels(walks, target), tr("Loss by epochs and by seconds")),
        ),
        Section(
            tr("Time to the full batch's loss"),
            tr(
                "Epochs and seconds to the full batch's lowest loss, means over the seeds; and the "
                "path length in weight space divided by the straight-line distance."
            ),
            table(header, rows, left=(0,)),
        ),
        Section(
            tr("Paths"),
            tr(
                "Left: the first {count} steps from the same weights, projected onto the plane of "
                "largest variance. Right: the cosine between mini-batch gradients and the full "
                "gradient at the same weights, during training.",
                count=SHOWN_STEPS,
            ),
            drawn([_path_panel(walks), _cosine_panel(cosines)], tr("Paths and cosines")),
        ),
    ]


def _loss_panels(walks: Sequence[Walk], target: float) -> list[Panel]:
    by_pass, by_second = [], []
    full = max(walk.batch for walk in walks)
    for size, colour in _colours(walks).items():
        runs = [walk for walk in walks if walk.batch == size]
        name = tr("full batch") if size == full else tr("batch {size}", size=size)
        losses = [walk.losses for walk in runs]
        by_pass.append(band(name, runs[0].passes, losses, colour))
        seconds = np.mean([walk.seconds for walk in runs], 0)
        by_second.append(band(name, seconds, losses, colour))
    rules = [(target, tr("full batch, best"))]
    up = tr("loss in nats")
    return [
        Panel(tr("By epochs"), tr("epochs"), up, by_pass, rules=rules),
        Panel(tr("By time"), tr("training time, s"), up, by_second, rules=rules, legend=""),
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
    return Panel(tr("First steps"), tr("first component"), tr("second component"), lines)


def _cosine_panel(cosines: Sequence[Cosine]) -> Panel:
    sizes = list(dict.fromkeys(c.batch for c in cosines))
    seeds = list(dict.fromkeys(c.seed for c in cosines))
    lines = []
    for epoch, colour in zip(dict.fromkeys(c.epoch for c in cosines), COLOURS[3:], strict=False):
        runs = [[c.mean for c in cosines if (c.epoch, c.seed) == (epoch, seed)] for seed in seeds]
        name = tr("initial") if not epoch else tr("after epoch {epoch}", epoch=epoch)
        lines.append(band(name, sizes, runs, colour, marker="o"))
    return Panel(
        tr("Gradient direction"), tr("batch size"), tr("cosine with the full gradient"), lines,
        log_x=True, ticks=sizes, limits=(0, 1.02),
    )  # fmt: skip


def _walks_table(walks: Sequence[Walk]) -> Table:
    rows = tuple(
        (walk.batch, walk.seed, walk.rate, *values, walk.wander)
        for walk in walks
        for values in zip(walk.passes, walk.seconds, walk.losses, strict=True)
    )
    header = ("batch", "seed", "rate", "passes", "seconds", "loss", "wander")
    return Table(header, rows)


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
    full = batch == max(race.batch for race in races)
    return tr("all {count}", count=batch) if full else str(batch)


def _half(size: int, full: int, seconds: float, passes: float) -> str:
    name = tr("full batch") if size == full else tr("batch {size}", size=size)
    if math.isinf(passes):
        return tr("{name} not in every run", name=name)
    return tr("{name} after {epochs:.1f} epochs and {seconds:.1f} seconds", name=name,
              epochs=passes, seconds=seconds)  # fmt: skip
