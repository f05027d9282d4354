"""The findings in sentences, plots and tables."""

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
"""The maximum derivative of the sigmoid, 1 / (1 + exp(-x)), at 0."""
_COLOURS = dict(zip(("sigmoid", "tanh", "relu", "leaky_relu"), COLOURS, strict=False))
_NAMES = {"relu": "ReLU", "leaky_relu": "leaky ReLU"}


def outcome(
    study: Measurements, found: Material, starts: list[Gradients], courses: list[Course]
) -> Outcome:
    """Present the figures as sentences, plots and tables."""
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
        f"layers deep, without batch norm, on {found.about}: {', '.join(found.labels)}.",
        finding=finding(ratio, factors, final, deep, 1 / len(found.labels)),
        facts=[
            (
                short(ratio),
                f"times weaker first-layer gradient with sigmoids at depth {deep}",
            ),
            (f"{factors['sigmoid']:.3f}", f"gradient factor per sigmoid layer; theory: {THEORY}"),
            (f"{factors['relu']:.2f}", "gradient factor per ReLU layer"),
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
    """Return the ratio of the first layer's gradient with ReLUs to that with sigmoids."""
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
    """Summarise the figures in two sentences.

    Args:
        ratio: from `vanished`.
        factors: factor by which each layer scales the gradient, by activation.
        final: accuracy after the last epoch, by activation and depth.
        depth: of the deepest trained networks.
        chance: the accuracy of guessing.
    """
    sigmoid = factors["sigmoid"]
    near = "as the theory says" if sigmoid <= 1.1 * THEORY else "more than the theory allows"
    first = (
        f"Before training, the gradient at the first of {depth} layers is {short(ratio)} times "
        f"smaller with sigmoids than with ReLUs: each sigmoid layer passes on "
        f"{sigmoid:.2f} of the gradient, {near} (at most 1/4), and each ReLU layer "
        f"{factors['relu']:.2f}."
    )
    if ratio < 10:
        first = (
            f"The gradient does not vanish here: at depth {depth}, that of the first layer is only "
            f"{ratio:.1f} times smaller with sigmoids than with ReLUs, contrary to the lecture."
        )
    shares = {kind: final[kind, depth] for kind in factors}
    told = ", ".join(f"{_name(kind)} {share:.0%}" for kind, share in shares.items())
    gain = shares["relu"] - shares["sigmoid"]
    verdict = (
        "the deep network trains with ReLUs but not with sigmoids, as the lecture says"
        if gain > 0.04 and shares["sigmoid"] < chance + 0.02
        else "ReLUs train better than sigmoids, which still learn something"
        if gain > 0.04
        else "ReLUs show no advantage in accuracy here, contrary to the lecture"
    )
    return first, f"After the last epoch, the validation accuracy is {told}: {verdict}."


def _sections(
    study: Measurements,
    starts: list[Gradients],
    courses: list[Course],
    factors: Mapping[str, float],
    deep: int,
) -> list[Section]:
    return [
        Section(
            "Before training",
            "The norm of the loss gradient by the weights of each layer, which the optimiser works "
            f"with. Left: by layer, for {deep} layers; layer 1 sees the image. Right: the "
            "first layer, by depth of the network.",
            drawn(
                [_through_layers(study, starts, deep), _by_depth(study, starts)],
                "Gradient norms by layer and by depth",
            ),
        ),
        _factors_section(factors, deep),
        Section(
            "During training",
            "Each network is trained with Adam, at the best of three rates around the one that the "
            "learning-rate finder suggests. Training loss and validation "
            "accuracy.",
            drawn(_learning_panels(study, courses), "Loss and accuracy during training"),
        ),
        Section(
            "The first layer during training",
            "The gradient that reaches the first layer, per epoch.",
            drawn(_first_panels(study, courses), "First layer's gradient during training"),
        ),
    ]


def _factors_section(factors: Mapping[str, float], deep: int) -> Section:
    return Section(
        "Attenuation per layer",
        "The factor by which a layer scales the gradient on its way back to the input, geometric "
        f"mean over the convolutions, at {deep} layers: the activation's derivative times the "
        "effect of the weights. He et al. scale the weights for ReLUs up by "
        "the square root of 2, since half of the units are inactive, and those for tanh by "
        "5/3. The derivative of a sigmoid is at most 1/4: after seven layers "
        "less than a ten-thousandth of the gradient is left.",
        table(
            ("activation", "factor per layer", f"after {deep - 2} layers", "maximum derivative"),
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
    return Panel(f"{deep} layers", "layer", "gradient norm", lines, log_y=True, legend="best")


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
        "First layer", "depth of the network", "gradient norm", lines, log_y=True,
        ticks=study.depths, legend="",
    )  # fmt: skip


def _learning_panels(study: Measurements, courses: list[Course]) -> list[Panel]:
    panels = []
    passes = range(study.epochs + 1)
    for depth in study.trained:
        for up, title in (("loss in nats", "loss"), ("accuracy", "accuracy")):
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
            panels.append(Panel(f"{depth} layers: {title}", "epoch", up, lines))
    return panels


def _first_panels(study: Measurements, courses: list[Course]) -> list[Panel]:
    return [
        Panel(
            f"{depth} layers",
            "epoch",
            "first-layer gradient norm",
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
