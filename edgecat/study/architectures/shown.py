"""The findings in sentences, plots and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgecat.report.charts import COLOURS, GRID
from edgecat.report.page import table
from edgecat.study.architectures.measured import NAMES, RATE, Course, Measurements, Sized
from edgecat.study.frame import Outcome, Section, Table
from edgecat.study.material import Material
from edgecat.study.plots import Panel, band, canvas, drawn, image_of
from edgecat.study.words import tr

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
        lead=tr(
            "Networks at {width:g} of their published width, with batch norm and global average "
            "pooling, each trained for {epochs} epochs on {images}: {labels}.",
            width=study.width,
            epochs=study.epochs,
            images=found.about,
            labels=", ".join(found.labels),
        ),
        finding=finding(accuracy, sized, study.epochs * study.pictures),
        facts=[
            (
                f"{float(np.mean(accuracy[best])):.1%}",
                tr("best accuracy: {network}", network=_name(best)),
            ),
            (f"{fast.latency:.2f} ms", tr("lowest latency: {network}", network=_name(fast.name))),
            (
                f"{heavy.here.macs / 1e6:,.0f} M",
                tr("most multiply-adds: {network}", network=_name(heavy.name)),
            ),
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
        tr("{network} is ahead for every seed", network=_name(order[0]))
        if min(first) > max(second)
        else tr("{network} and {other} differ by less than the seeds do", network=_name(order[0]),
                other=_name(order[1]))
    )  # fmt: skip
    if "alexnet" in accuracy and "resnet18" in accuracy:
        old, new = accuracy["alexnet"], accuracy["resnet18"]
        clear += "; " + (
            tr("the newest beats the oldest, as in the lecture")
            if min(new) > max(old)
            else tr("the oldest beats the newest, contrary to the lecture")
            if min(old) > max(new)
            else tr(
                "the oldest and the newest differ by no more than the seeds do, so the lecture's "
                "ranking is not confirmed"
            )
        )
    ranking = tr(
        "After the same {count:,} training images, the accuracies are {accuracies}: {verdict}.",
        count=seen,
        accuracies=told,
        verdict=clear,
    )
    return ranking, _price(sized)


def _price(sized: Sequence[Sized]) -> str:
    """Say whether latency follows arithmetic."""
    heavy, light = (pick(sized, key=lambda s: s.here.macs) for pick in (max, min))
    slow, quick = (pick(sized, key=lambda s: s.latency) for pick in (max, min))
    per = {s.name: s.here.macs / s.latency for s in sized}
    dense, thin = max(per, key=per.__getitem__), min(per, key=per.__getitem__)
    verdict = (
        tr("latency does not follow arithmetic")
        if per[dense] > 1.5 * per[thin]
        else tr("latency follows arithmetic")
    )
    times = slow.latency / quick.latency
    longer = (
        tr("{times:.1f} times as long", times=times)
        if (heavy, light) == (slow, quick)
        else tr("{slow} takes {times:.1f} times as long as {quick}", slow=_name(slow.name),
                times=times, quick=_name(quick.name))
    )  # fmt: skip
    return tr(
        "{heavy} takes {arithmetic:.0f} times the multiply-adds of {light} and {longer}: "
        "{verdict}; {dense} does {rate:.1f} times as many multiply-adds per ms as {thin}.",
        heavy=_name(heavy.name),
        arithmetic=heavy.here.macs / light.here.macs,
        light=_name(light.name),
        longer=longer,
        verdict=verdict,
        dense=_name(dense),
        rate=per[dense] / per[thin],
        thin=_name(thin),
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
            tr("Training"),
            tr(
                "Validation accuracy against epochs and against training time. The learning rate "
                "falls linearly from {rate} to 0; it is not tuned per network.",
                rate=RATE,
            ),
            drawn(_panels(study, courses), tr("Accuracy during training")),
        ),
        Section(
            tr("Cost per prediction"),
            tr(
                "The trained networks. Latency is the median at batch 1, ONNX Runtime in fp32 on "
                "one thread, networks interleaved. Dots are means over the seeds, lines span "
                "minimum to maximum."
            ),
            _scatter(accuracy, sized),
        ),
        Section(
            tr("This study and the published networks"),
            tr(
                "Weights of convolutions and dense layers, and multiply-adds per image. The "
                "published networks have 1,000 classes; AlexNet and VGG16 end in dense layers, "
                "which hold most of their weights."
            ),
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
        Panel(tr("By epoch"), tr("epoch"), tr("accuracy, %"), by_pass),
        Panel(tr("By time"), tr("training time, s"), tr("accuracy, %"), by_time, log_x=True,
              legend=""),
    ]  # fmt: skip


def _scatter(accuracy: Mapping[str, Sequence[float]], sized: Sequence[Sized]) -> str:
    views = (
        (tr("multiply-adds, millions"), [s.here.macs / 1e6 for s in sized]),
        (tr("weights, thousands"), [s.here.weights / 1e3 for s in sized]),
        (tr("latency, ms"), [s.latency for s in sized]),
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
        grid[0].set_ylabel(tr("accuracy, %"))
        return image_of(figure, tr("Accuracy against multiply-adds, weights and latency"))


def _sized_html(
    sized: Sequence[Sized],
    accuracy: Mapping[str, Sequence[float]],
    seconds: Mapping[str, Sequence[float]],
) -> str:
    header = (
        *(tr("network"), tr("accuracy"), tr("weights"), tr("multiply-adds"), tr("latency, ms")),
        *(tr("training, s"), tr("published: input"), tr("weights"), tr("multiply-adds")),
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
