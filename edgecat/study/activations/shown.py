"""What was found, in sentences, plots and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgecat.report.charts import COLOURS
from edgecat.report.page import table
from edgecat.study.activations.measured import Course, Gradients, Measurements
from edgecat.study.frame import Outcome, Section, Table
from edgecat.study.pictures import Material
from edgecat.study.plots import Panel, band, drawn
from edgecat.study.words import short

THEORY = 0.25
"""The greatest slope of the sigmoid, 1 / (1 + exp(-x)), at 0."""
_COLOURS = dict(zip(("sigmoid", "tanh", "relu", "leaky_relu"), COLOURS, strict=False))
_NAMES = {"relu": "ReLU", "leaky_relu": "leaky ReLU"}


def outcome(
    study: Measurements, found: Material, starts: list[Gradients], courses: list[Course]
) -> Outcome:
    """Turn the figures into sentences, plots and tables."""
    deep = max(study.trained)
    ratio = vanished(starts, deep)
    factors = {kind: _mean_factor(starts, kind, deep) for kind in study.kinds}
    last = {
        (kind, depth): [c for c in courses if (c.kind, c.depth) == (kind, depth)]
        for kind in study.kinds
        for depth in study.trained
    }
    final = {key: float(np.mean([c.accuracy[-1] for c in runs])) for key, runs in last.items()}
    return Outcome(
        lead=f"Plain networks of 3x3 convolutions, {min(study.depths)} to {max(study.depths)} "
        f"layers deep, without batch norm, looked at {found.about}: {', '.join(found.labels)}.",
        finding=finding(ratio, factors, final, deep, 1 / len(found.labels)),
        facts=[
            (
                short(ratio),
                f"times weaker: the first layer's gradient with sigmoids, depth {deep}",
            ),
            (f"{factors['sigmoid']:.3f}", f"of it is left by each sigmoid layer; theory: {THEORY}"),
            (f"{factors['relu']:.2f}", "of it is left by each ReLU layer"),
        ],
        sections=_sections(study, starts, courses, factors, deep),
        tables={"": _courses_table(courses), "start": _starts_table(starts)},
        figures={
            "depth": deep,
            "first_layer_ratio": ratio,
            "factor_per_layer": factors,
            "accuracy": {f"{kind}-{depth}": value for (kind, depth), value in final.items()},
        },
        skipped=found.skipped,
    )


def vanished(starts: Sequence[Gradients], depth: int) -> float:
    """How many times smaller the first layer's gradient is with sigmoids than with ReLUs."""
    norms = {
        kind: np.mean([np.log(g.weights[0]) for g in starts if (g.kind, g.depth) == (kind, depth)])
        for kind in ("relu", "sigmoid")
    }
    return float(np.exp(norms["relu"] - norms["sigmoid"]))


def finding(
    ratio: float,
    factors: Mapping[str, float],
    final: Mapping[tuple[str, int], float],
    depth: int,
    chance: float,
) -> tuple[str, str]:
    """Say in two sentences what the figures show.

    Args:
        ratio: from `vanished`.
        factors: by which each layer multiplies the gradient, by activation.
        final: accuracy after the last pass, by activation and depth.
        depth: of the deepest networks that learnt.
        chance: the accuracy of guessing.
    """
    sigmoid = factors["sigmoid"]
    near = "as the theory says" if sigmoid <= 1.1 * THEORY else "more than the theory allows"
    first = (
        f"Before anything is learnt, {short(ratio)} times less of the error reaches the first of "
        f"{depth} layers with sigmoids than with ReLUs: each sigmoid layer passes on "
        f"{sigmoid:.2f} of the gradient, {near} (at most 1/4), and each ReLU layer "
        f"{factors['relu']:.2f}."
    )
    if ratio < 10:
        first = (
            f"The gradient does not vanish here: at depth {depth} the first layer's is only "
            f"{ratio:.1f} times smaller with sigmoids than with ReLUs, against the lecture."
        )
    shares = {kind: final[kind, depth] for kind in factors}
    told = ", ".join(f"{_name(kind)} {share:.0%}" for kind, share in shares.items())
    gain = shares["relu"] - shares["sigmoid"]
    verdict = (
        "the deep network learns with ReLUs and not with sigmoids, as the lecture says"
        if gain > 0.04 and shares["sigmoid"] < chance + 0.02
        else "ReLUs learn better than sigmoids, which still learn something"
        if gain > 0.04
        else "the ReLUs' advantage does not show in the answers here, against the lecture"
    )
    return first, f"After the last pass, {told} of the new pictures are right: {verdict}."


def _sections(
    study: Measurements,
    starts: list[Gradients],
    courses: list[Course],
    factors: Mapping[str, float],
    deep: int,
) -> list[Section]:
    return [
        Section(
            "Before anything is learnt",
            "The norm of the loss's gradient by the weights of each layer: what the optimiser has "
            f"to go by. Left: through the {deep} layers, of which 1 sees the picture. Right: the "
            "first layer's, in networks of different depth.",
            drawn(
                [_through_layers(study, starts, deep), _by_depth(study, starts)],
                "Gradient norms by layer and by depth",
            ),
        ),
        _factors_section(factors, deep),
        Section(
            "While it learns",
            "Each network by Adam, at the best of three rates around that which the learning-rate "
            "finder suggests for it. Loss on the "
            "pictures it learns from; answers on pictures it has not seen.",
            drawn(_learning_panels(study, courses), "Loss and accuracy while learning"),
        ),
        Section(
            "The first layer while it learns",
            "The gradient that reaches the first layer, pass by pass.",
            drawn(_first_panels(study, courses), "First layer's gradient while learning"),
        ),
    ]


def _factors_section(factors: Mapping[str, float], deep: int) -> Section:
    return Section(
        "By how much each layer weakens it",
        "By what a layer multiplies the gradient on its way back to the input, the geometric "
        f"mean over the convolutions, {deep} layers deep: the activation's slope times what "
        "the weights make of it. He et al. draw the weights for ReLUs larger by "
        "the root of 2, since half of them are off, and those for tanh are drawn 5/3 as "
        "large. The slope of a sigmoid is 1/4 where it is steepest: after seven such layers "
        "less than a ten-thousandth is left.",
        table(
            ("activation", "factor a layer", f"after {deep - 2} layers", "greatest slope"),
            [
                (_name(k), f"{f:.3f}", f"{f ** (deep - 2):.2g}", _slope(k))
                for k, f in factors.items()
            ],
            left=(0,),
        ),
    )


def _through_layers(study: Measurements, starts: list[Gradients], deep: int) -> Panel:
    lines = [
        band(
            _name(kind),
            range(1, deep + 1),
            [g.weights for g in starts if (g.kind, g.depth) == (kind, deep)],
            _COLOURS[kind],
            log=True,
            marker="o",
        )
        for kind in study.kinds
    ]
    return Panel(
        f"{deep} layers deep", "layer", "norm of its gradient", lines, log_y=True, legend="best"
    )


def _by_depth(study: Measurements, starts: list[Gradients]) -> Panel:
    lines = [
        band(
            _name(kind),
            study.depths,
            [
                [g.weights[0] for g in starts if (g.kind, g.seed) == (kind, seed)]
                for seed in study.each_seed
            ],
            _COLOURS[kind],
            log=True,
            marker="o",
        )
        for kind in study.kinds
    ]
    return Panel(
        "The first layer", "depth of the network", "norm of its gradient", lines, log_y=True,
        ticks=study.depths, legend="",
    )  # fmt: skip


def _learning_panels(study: Measurements, courses: list[Course]) -> list[Panel]:
    panels = []
    passes = range(study.epochs + 1)
    for depth in study.trained:
        for up, title in (("loss in nats", "loss"), ("right", "right answers")):
            lines = [
                band(
                    _name(kind),
                    passes,
                    [
                        c.loss if title == "loss" else c.accuracy
                        for c in courses
                        if (c.kind, c.depth) == (kind, depth)
                    ],
                    _COLOURS[kind],
                )
                for kind in study.kinds
            ]
            panels.append(Panel(f"{depth} layers: {title}", "pass over the pictures", up, lines))
    return panels


def _first_panels(study: Measurements, courses: list[Course]) -> list[Panel]:
    return [
        Panel(
            f"{depth} layers deep",
            "pass over the pictures",
            "norm of the first layer's gradient",
            [
                band(
                    _name(kind),
                    range(study.epochs + 1),
                    [
                        [step[0] for step in c.gradients]
                        for c in courses
                        if (c.kind, c.depth) == (kind, depth)
                    ],
                    _COLOURS[kind],
                    log=True,
                )
                for kind in study.kinds
            ],
            log_y=True,
        )
        for depth in study.trained
    ]


def _starts_table(starts: list[Gradients]) -> Table:
    rows = tuple(
        (g.kind, g.depth, g.seed, layer, weights, outputs)
        for g in starts
        for layer, (weights, outputs) in enumerate(zip(g.weights, g.outputs, strict=True), 1)
    )
    header = ("activation", "depth", "seed", "layer", "weight_gradient", "output_gradient")
    return Table(header, rows)


def _courses_table(courses: list[Course]) -> Table:
    rows = tuple(
        (c.kind, c.depth, c.seed, c.rate, epoch, *values[:2], values[2][0], values[2][-1])
        for c in courses
        for epoch, values in enumerate(zip(c.loss, c.accuracy, c.gradients, strict=True))
    )
    return Table(
        (
            *("activation", "depth", "seed", "rate", "epoch", "training_loss"),
            *("validation_accuracy", "first_layer_gradient", "last_layer_gradient"),
        ),
        rows,
    )


def _mean_factor(starts: list[Gradients], kind: str, depth: int) -> float:
    each = [np.log(g.factor) for g in starts if (g.kind, g.depth) == (kind, depth)]
    return float(np.exp(np.mean(each)))


def _slope(kind: str) -> str:
    return "1/4" if kind == "sigmoid" else "1"


def _name(kind: str) -> str:
    return _NAMES.get(kind, kind)
