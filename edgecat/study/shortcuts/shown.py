"""The findings in sentences, plots and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgecat.report.charts import COLOURS
from edgecat.report.page import table
from edgecat.study.frame import Outcome, Section
from edgecat.study.material import Material
from edgecat.study.plots import Panel, band, drawn
from edgecat.study.shortcuts.measured import (
    BOTH,
    NORMED,
    PLAIN,
    SHORT,
    VARIANTS,
    Course,
    Flow,
    Measurements,
)
from edgecat.study.shortcuts.tables import courses_table, flows_table
from edgecat.study.words import nats, tr

_COLOURS = dict(zip(VARIANTS, (COLOURS[7], COLOURS[1], COLOURS[0], COLOURS[2]), strict=True))
_STYLES = {PLAIN: ":", SHORT: "--", NORMED: "-", BOTH: "-"}
_VANISHED = 0.01


def outcome(
    study: Measurements, found: Material, flows: Sequence[Flow], courses: Sequence[Course]
) -> Outcome:
    """Present the figures as sentences, plots and tables."""
    shallow, deep = study.trained
    reaches = {key: reached(flows, key, deep) for key in VARIANTS}
    right = {
        (key, depth): _final(courses, key, depth, "training_accuracy")
        for key in VARIANTS
        for depth in study.trained
    }
    return Outcome(
        lead=tr(
            "Networks of 3x3 convolutions of the same width and depth, with or without shortcuts "
            "around every two of them, with or without batch norm, {least} to {most} layers deep, "
            "on {images}.",
            least=min(study.depths),
            most=max(study.depths),
            images=found.about,
        ),
        finding=finding(reaches, right, shallow, deep),
        facts=[
            (_factor(reaches[key]), tr("gradient at the first layer relative to the last, {layers} "
                                       "layers: {variant}", layers=deep, variant=tr(key)))
            for key in (PLAIN, NORMED, BOTH)
        ],
        sections=_sections(study, flows, courses, right),
        tables={"": courses_table(courses), "gradients": flows_table(flows, courses)},
        figures={
            "depth": deep,
            "first_over_last": reaches,
            "training_accuracy": {f"{key}-{depth}": v for (key, depth), v in right.items()},
        },
        skipped=found.skipped,
    )  # fmt: skip


def reached(flows: Sequence[Flow], key: str, depth: int) -> float:
    """Return the first layer's initial gradient as a multiple of the last's: a geometric mean."""
    each = [np.log(flow.reaches) for flow in flows if (flow.key, flow.depth) == (key, depth)]
    return float(np.exp(np.mean(each)))


def finding(
    reaches: Mapping[str, float],
    right: Mapping[tuple[str, int], float],
    shallow: int,
    deep: int,
) -> tuple[str, str]:
    """Summarise the figures in two sentences: the gradient and what depth costs.

    Args:
        reaches: from `reached`, at the larger depth, by variant.
        right: training accuracy after the last epoch, by variant and depth.
        shallow: the smaller depth.
        deep: the larger depth.
    """
    told = ", ".join(f"{tr(key)} {_factor(value)}" for key, value in reaches.items())
    first = tr(
        "Before training, the gradient at the first of {depth} layers, relative to that at the "
        "last, is: {factors}: {verdict}.",
        depth=deep, factors=told, verdict=_verdict(reaches),
    )  # fmt: skip
    cost = {key: 100 * (right[key, shallow] - right[key, deep]) for key in VARIANTS}
    costs = ", ".join(
        tr("{variant} {near:.0%} and {far:.0%}", variant=tr(key), near=right[key, shallow],
           far=right[key, deep])
        for key in VARIANTS
    )  # fmt: skip
    saved = cost[NORMED] - cost[BOTH]
    claim = (
        tr("depth costs the plain network accuracy even with batch norm, and shortcuts spare it")
        if cost[NORMED] > 2 and saved > 2
        else tr("with batch norm, depth costs nothing here, with shortcuts or without")
        if max(cost[NORMED], cost[BOTH]) <= 2
        else tr("shortcuts do not spare what depth costs here")
    )
    second = tr(
        "After the last epoch, the training accuracy at {shallow} and at {deep} layers is: "
        "{costs}: {claim}.",
        shallow=shallow, deep=deep, costs=costs, claim=claim,
    )  # fmt: skip
    return first, second


def _verdict(reaches: Mapping[str, float]) -> str:
    vanished = [reaches[key] < _VANISHED for key in (PLAIN, NORMED)]
    return (
        tr("the plain networks' gradient vanishes, and the shortcuts keep it")
        if all(vanished) and min(reaches[SHORT], reaches[BOTH]) >= _VANISHED
        else tr("a gradient vanishes without shortcuts only where batch norm is missing, too")
        if vanished == [True, False]
        else tr(
            "no plain network's gradient vanishes; with batch norm it grows on its way back, and "
            "shortcuts hold that down"
        )
        if not any(vanished) and reaches[NORMED] > max(10, 3 * reaches[BOTH])
        else tr("no plain network's gradient vanishes, so that is not what shortcuts mend")
        if not any(vanished)
        else tr("the gradient vanishes with shortcuts, too")
    )


def _sections(
    study: Measurements,
    flows: Sequence[Flow],
    courses: Sequence[Course],
    right: Mapping[tuple[str, int], float],
) -> list[Section]:
    return [
        *_gradient_sections(study, flows, courses),
        Section(
            tr("During training"),
            tr(
                "Adam, each network at the best of {count} rates. Training accuracy, evaluated as "
                "in use: with batch norm's running means.",
                count=len(study.rates),
            ),
            drawn(_learning_panels(study, courses), tr("Training accuracy at two depths")),
        ),
        Section(
            tr("After the last epoch"),
            tr("Means over the seeds."),
            table(
                (
                    *(tr("network"), tr("layers"), tr("rate"), tr("training accuracy")),
                    *(tr("validation accuracy"), tr("loss")),
                ),
                _rows(study, courses, right),
                left=(0,),
            ),
        ),
    ]


def _gradient_sections(
    study: Measurements, flows: Sequence[Flow], courses: Sequence[Course]
) -> list[Section]:
    deep = study.trained[1]
    before = {k: [f.outputs for f in flows if (f.key, f.depth) == (k, deep)] for k in VARIANTS}
    after = {
        k: [c.outputs for c in courses if (c.history.key, c.depth) == (k, deep)] for k in VARIANTS
    }
    return [
        Section(
            tr("The gradient before training"),
            tr(
                "The norm of the loss gradient by the outputs of each convolution. Left: layer by "
                "layer, at {depth} layers; layer 1 sees the image. Right: the first layer's as a "
                "multiple of the last one's, by depth; 1 is a gradient that arrives as it set "
                "out.",
                depth=deep,
            ),
            drawn(
                [
                    _layers_panel(tr("{depth} layers", depth=deep), before),
                    _depth_panel(study, flows),
                ],
                tr("Gradient by layer and by depth, before training"),
            ),
        ),
        Section(
            tr("The gradient after training"),
            tr("The same after the last epoch, when the loss itself differs between the networks."),
            drawn(
                [_layers_panel(tr("{depth} layers", depth=deep), after)],
                tr("Gradient by layer, after training"),
                columns=1,
            ),
        ),
    ]


def _layers_panel(title: str, runs: Mapping[str, Sequence[Sequence[float]]]) -> Panel:
    lines = [
        band(
            tr(key),
            range(1, len(rows[0])),
            np.maximum(rows, 1e-12)[:, :-1],
            _COLOURS[key],
            log=True,
            style=_STYLES[key],
        )
        for key, rows in runs.items()
    ]
    return Panel(title, tr("layer"), tr("gradient norm"), lines, log_y=True, legend="best")


def _depth_panel(study: Measurements, flows: Sequence[Flow]) -> Panel:
    lines = [
        band(
            tr(key),
            study.depths,
            [
                [f.reaches for f in flows if (f.key, f.seed) == (key, seed)]
                for seed in study.each_seed
            ],
            _COLOURS[key],
            log=True,
            marker="o",
            style=_STYLES[key],
        )
        for key in VARIANTS
    ]
    return Panel(
        tr("First over last"), tr("depth of the network"), tr("ratio of gradient norms"), lines,
        log_y=True, ticks=study.depths, legend="",
    )  # fmt: skip


def _learning_panels(study: Measurements, courses: Sequence[Course]) -> list[Panel]:
    panels = []
    for depth, legend in zip(study.trained, ("", "best"), strict=True):
        lines = [
            band(
                tr(key),
                range(study.epochs + 1),
                [
                    c.history.training_accuracy
                    for c in courses
                    if (c.history.key, c.depth) == (key, depth)
                ],
                _COLOURS[key],
                style=_STYLES[key],
            )
            for key in VARIANTS
        ]
        title = tr("{depth} layers", depth=depth)
        panels.append(Panel(title, tr("epoch"), tr("training accuracy"), lines, legend=legend))
    return panels


def _rows(
    study: Measurements, courses: Sequence[Course], right: Mapping[tuple[str, int], float]
) -> list[tuple[str, ...]]:
    rates = {(c.history.key, c.depth): c.rate for c in courses}
    return [
        (
            f'<span class="key" style="background:{_COLOURS[key]}"></span>{tr(key)}',
            str(depth),
            f"{rates[key, depth]:g}",
            f"{right[key, depth]:.1%}",
            f"{_final(courses, key, depth, 'validation_accuracy'):.1%}",
            nats(_final(courses, key, depth, "training_loss")),
        )
        for depth in study.trained
        for key in VARIANTS
    ]


def _final(courses: Sequence[Course], key: str, depth: int, what: str) -> float:
    chosen = [c.history for c in courses if (c.history.key, c.depth) == (key, depth)]
    return float(np.mean([getattr(history, what)[-1] for history in chosen]))


def _factor(value: float) -> str:
    return f"{float(f'{value:.2g}'):,g}"
