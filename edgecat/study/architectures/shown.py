"""The findings in sentences, plots and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgecat.report.charts import COLOURS, GRID
from edgecat.report.page import table
from edgecat.study.architectures.measured import NAMES, RATE, Course, Measurements, Sized
from edgecat.study.frame import Outcome, Section, Table
from edgecat.study.pictures import Material
from edgecat.study.plots import Panel, band, canvas, drawn, image_of

_COLOURS = dict(zip(NAMES, COLOURS, strict=False))


def outcome(
    study: Measurements, found: Material, courses: Sequence[Course], sized: Sequence[Sized]
) -> Outcome:
    """Present the figures as sentences, plots and tables."""
    accuracy = {s.name: [c.accuracy[-1] for c in courses if c.name == s.name] for s in sized}
    seconds = {s.name: [c.seconds for c in courses if c.name == s.name] for s in sized}
    best = max(accuracy, key=lambda name: float(np.mean(accuracy[name])))
    fast = min(sized, key=lambda s: s.latency)
    heavy = max(sized, key=lambda s: s.here.macs)
    return Outcome(
        lead=f"Networks at {study.width:g} of their published width, with batch norm and global "
        f"average pooling, each trained for {study.epochs} epochs on {found.about}: "
        f"{', '.join(found.labels)}.",
        finding=finding(accuracy, sized, study.epochs * study.pictures),
        facts=[
            (f"{float(np.mean(accuracy[best])):.1%}", f"best accuracy: {_name(best)}"),
            (f"{fast.latency:.2f} ms", f"lowest latency: {_name(fast.name)}"),
            (f"{heavy.here.macs / 1e6:,.0f} M", f"most multiply-adds: {_name(heavy.name)}"),
        ],
        sections=_sections(study, courses, sized, accuracy, seconds),
        tables={"": _table(courses, sized), "courses": _courses_table(courses)},
        figures={
            s.name: {
                "accuracy": accuracy[s.name],
                "weights": s.here.weights,
                "multiply_adds": s.here.macs,
                "latency_ms": s.latency,
                "training_seconds": float(np.mean(seconds[s.name])),
            }
            for s in sized
        },
        skipped=found.skipped,
    )


def finding(
    accuracy: Mapping[str, Sequence[float]], sized: Sequence[Sized], seen: int
) -> tuple[str, str]:
    """Summarise the figures in two sentences.

    Args:
        accuracy: per seed, by architecture.
        sized: cost of each.
        seen: training images times epochs.
    """
    order = sorted(accuracy, key=lambda name: -float(np.mean(accuracy[name])))
    told = ", ".join(f"{_name(n)} {float(np.mean(accuracy[n])):.0%}" for n in order)
    first, second = (accuracy[name] for name in order[:2])
    clear = (
        f"{_name(order[0])} is ahead for every seed"
        if min(first) > max(second)
        else f"{_name(order[0])} and {_name(order[1])} differ by less than the seeds do"
    )
    known = [name for name in NAMES if name in accuracy]
    rank = "; "
    if "alexnet" in known and "resnet18" in known:
        old, new = accuracy["alexnet"], accuracy["resnet18"]
        rank += (
            "the newest beats the oldest, as in the lecture"
            if min(new) > max(old)
            else "the oldest beats the newest, contrary to the lecture"
            if min(old) > max(new)
            else "the oldest and the newest differ by no more than the seeds do, so the "
            "lecture's ranking is not confirmed"
        )
    return (
        f"After the same {seen:,} training images, the accuracies are {told}: {clear}"
        f"{rank if rank != '; ' else ''}.",
        _price(sized),
    )


def _price(sized: Sequence[Sized]) -> str:
    """Say whether latency follows arithmetic."""
    heavy, light = (pick(sized, key=lambda s: s.here.macs) for pick in (max, min))
    slow, quick = (pick(sized, key=lambda s: s.latency) for pick in (max, min))
    than = "" if (heavy, light) == (slow, quick) else f" as {_name(quick.name)}"
    who = f"{_name(slow.name)} takes " if than else ""
    per = {s.name: s.here.macs / s.latency for s in sized}
    dense, thin = max(per, key=per.__getitem__), min(per, key=per.__getitem__)
    verdict = "does not follow" if per[dense] > 1.5 * per[thin] else "follows"
    return (
        f"{_name(heavy.name)} takes {heavy.here.macs / light.here.macs:.0f} times the "
        f"multiply-adds of {_name(light.name)} and {who}{slow.latency / quick.latency:.1f} times "
        f"as long{than}: latency {verdict} arithmetic; {_name(dense)} does "
        f"{per[dense] / per[thin]:.1f} times as many multiply-adds per ms as {_name(thin)}."
    )


def _sections(
    study: Measurements,
    courses: Sequence[Course],
    sized: Sequence[Sized],
    accuracy: Mapping[str, Sequence[float]],
    seconds: Mapping[str, Sequence[float]],
) -> list[Section]:
    return [
        Section(
            "Training",
            "Validation accuracy against epochs "
            "and against training time. The learning rate falls linearly from "
            f"{RATE} to 0; it is not tuned per network.",
            drawn(_panels(study, courses), "Accuracy during training"),
        ),
        Section(
            "Cost per prediction",
            "The trained networks. Latency is the median at batch 1, ONNX Runtime in fp32 on one "
            "thread, networks interleaved. Dots are means over the seeds, lines span "
            "minimum to maximum.",
            _scatter(accuracy, sized),
        ),
        Section(
            "This study and the published networks",
            "Weights of convolutions and dense layers, and multiply-adds per image. The "
            "published networks have 1,000 classes; AlexNet and VGG16 end in dense layers, which "
            "hold most of their weights.",
            _sized_html(sized, accuracy, seconds),
        ),
    ]


def _panels(study: Measurements, courses: Sequence[Course]) -> list[Panel]:
    passes = np.arange(1.0, study.epochs + 1)

    def runs(name: str) -> list[Course]:
        return [course for course in courses if course.name == name]

    by_pass = [
        band(_name(n), passes, [[100 * a for a in c.accuracy] for c in runs(n)], _COLOURS[n])
        for n in study.names
    ]
    by_time = [
        band(
            _name(n),
            passes * float(np.mean([c.seconds for c in runs(n)])) / study.epochs,
            [[100 * a for a in c.accuracy] for c in runs(n)],
            _COLOURS[n],
        )
        for n in study.names
    ]
    return [
        Panel("By epoch", "epoch", "accuracy, %", by_pass),
        Panel("By time", "training time, s", "accuracy, %", by_time, log_x=True, legend=""),
    ]


def _scatter(accuracy: Mapping[str, Sequence[float]], sized: Sequence[Sized]) -> str:
    views = (
        ("multiply-adds, millions", [s.here.macs / 1e6 for s in sized]),
        ("weights, thousands", [s.here.weights / 1e3 for s in sized]),
        ("latency, ms", [s.latency for s in sized]),
    )
    with canvas(10.2, 3.7) as figure:
        grid = figure.subplots(1, len(views), sharey=True)
        for axes, (across, values) in zip(grid, views, strict=True):
            for s, x in zip(sized, values, strict=True):
                runs = 100 * np.array(accuracy[s.name])
                mean = runs.mean()
                reach = [[mean - runs.min()], [runs.max() - mean]]
                colour = _COLOURS[s.name]
                axes.errorbar([x], [mean], reach, fmt="o", color=colour, capsize=3, markersize=8)
                axes.annotate(
                    _name(s.name).split(" (")[0], (x, mean), xytext=(7, 5),
                    textcoords="offset points", fontsize=9,
                )  # fmt: skip
            axes.set_xscale("log")
            axes.xaxis.set_minor_formatter("")
            axes.margins(x=0.3)
            axes.set_xlabel(across)
            axes.grid(color=GRID)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
        grid[0].set_ylabel("accuracy, %")
        return image_of(figure, "Accuracy against multiply-adds, weights and latency")


def _sized_html(
    sized: Sequence[Sized],
    accuracy: Mapping[str, Sequence[float]],
    seconds: Mapping[str, Sequence[float]],
) -> str:
    header = (
        *("network", "accuracy", "weights", "multiply-adds", "latency, ms", "training, s"),
        *("published: input", "weights", "multiply-adds"),
    )
    rows = [
        (
            _name(s.name),
            f"{float(np.mean(accuracy[s.name])):.1%}",
            f"{s.here.weights / 1e6:.2f} M",
            f"{s.here.macs / 1e6:,.1f} M",
            f"{s.latency:.2f}",
            f"{float(np.mean(seconds[s.name])):.0f}",
            f"{s.published_size}",
            f"{s.published.weights / 1e6:.1f} M",
            f"{s.published.macs / 1e9:.2f} G",
        )
        for s in sized
    ]
    return table(header, rows, left=(0,))


def _table(courses: Sequence[Course], sized: Sequence[Sized]) -> Table:
    costs = {s.name: s for s in sized}
    rows = tuple(
        (
            *(c.name, c.seed, c.accuracy[-1], costs[c.name].here.weights, costs[c.name].here.macs),
            *(costs[c.name].latency, c.seconds),
            *(costs[c.name].published.weights, costs[c.name].published.macs),
        )
        for c in courses
    )
    header = (
        *("architecture", "seed", "accuracy", "weights", "multiply_adds", "latency_ms"),
        *("training_seconds", "published_weights", "published_multiply_adds"),
    )
    return Table(header, rows)


def _courses_table(courses: Sequence[Course]) -> Table:
    rows = tuple(
        (c.name, c.seed, epoch, accuracy)
        for c in courses
        for epoch, accuracy in enumerate(c.accuracy, 1)
    )
    return Table(("architecture", "seed", "epoch", "accuracy"), rows)


def _name(name: str) -> str:
    return NAMES.get(name, name)
