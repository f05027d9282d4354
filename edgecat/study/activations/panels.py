"""The plots: gradients by layer and depth, and what training makes of them."""

from __future__ import annotations

from edgecat.report.charts import COLOURS
from edgecat.study.activations.measured import Course, Gradients, Measurements
from edgecat.study.plain import NORM
from edgecat.study.plots import Panel, band
from edgecat.study.words import tr

_COLOURS = {
    **dict(zip(("sigmoid", "tanh", "relu", "leaky_relu"), COLOURS, strict=False)),
    f"sigmoid{NORM}": COLOURS[6],
}
_NAMES = {"relu": "ReLU", "leaky_relu": "leaky ReLU"}


def through_layers(study: Measurements, starts: list[Gradients], deep: int) -> Panel:
    """Plot the gradient by layer, at one depth."""
    lines = [
        band(
            name_of(kind),
            range(1, deep + 1),
            [g.weights for g in starts if (g.kind, g.depth) == (kind, deep)],
            _COLOURS[kind],
            log=True,
            marker="o",
        )
        for kind in study.kinds
    ]
    return Panel(
        tr("{depth} layers", depth=deep), tr("layer"), tr("gradient norm"), lines, log_y=True,
        legend="best",
    )  # fmt: skip


def by_depth(study: Measurements, starts: list[Gradients]) -> Panel:
    """Plot the first layer's gradient by depth."""
    lines = [
        band(
            name_of(kind),
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
        tr("First layer"), tr("depth of the network"), tr("gradient norm"), lines, log_y=True,
        ticks=study.depths, legend="",
    )  # fmt: skip


def learning_panels(study: Measurements, courses: list[Course]) -> list[Panel]:
    """Plot loss and accuracy by epoch, per trained depth."""
    panels = []
    passes = range(study.epochs + 1)
    for depth in study.trained:
        for what, up, title in (
            ("loss", tr("loss in nats"), tr("{depth} layers: loss", depth=depth)),
            ("accuracy", tr("accuracy"), tr("{depth} layers: accuracy", depth=depth)),
        ):
            lines = [
                band(
                    name_of(kind),
                    passes,
                    [
                        c.loss if what == "loss" else c.accuracy
                        for c in courses
                        if (c.kind, c.depth) == (kind, depth)
                    ],
                    _COLOURS[kind],
                )
                for kind in study.kinds
            ]
            panels.append(Panel(title, tr("epoch"), up, lines))
    return panels


def first_panels(study: Measurements, courses: list[Course]) -> list[Panel]:
    """Plot the first layer's gradient by epoch, per trained depth."""
    return [
        Panel(
            tr("{depth} layers", depth=depth),
            tr("epoch"),
            tr("first-layer gradient norm"),
            [
                band(
                    name_of(kind),
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


def name_of(kind: str) -> str:
    """Return an activation's display name."""
    active = kind.removesuffix(NORM)
    name = _NAMES.get(active, active)
    return name if kind == active else tr("{activation} with batch norm", activation=name)
