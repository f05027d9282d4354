"""The findings in sentences, plots and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgecat.report.page import table
from edgecat.study.activations.measured import Course, Gradients, Measurements
from edgecat.study.activations.panels import (
    by_depth,
    first_panels,
    learning_panels,
    name_of,
    through_layers,
)
from edgecat.study.frame import Outcome, Section, Table
from edgecat.study.material import Material
from edgecat.study.plain import NORM
from edgecat.study.plots import drawn
from edgecat.study.words import short, tr

THEORY = 0.25
"""The maximum derivative of the sigmoid, 1 / (1 + exp(-x)), at 0."""


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
        lead=tr(
            "Plain networks of 3x3 convolutions, {least} to {most} layers deep, on {images}: "
            "{labels}.",
            least=min(study.depths),
            most=max(study.depths),
            images=found.about,
            labels=", ".join(found.labels),
        ),
        finding=finding(ratio, factors, final, deep, 1 / len(found.labels)),
        facts=[
            (
                short(ratio),
                tr("times weaker first-layer gradient with sigmoids at depth {depth}", depth=deep),
            ),
            (
                f"{factors['sigmoid']:.3f}",
                tr("gradient factor per sigmoid layer; theory: {limit}", limit=THEORY),
            ),
            (f"{factors['relu']:.2f}", tr("gradient factor per ReLU layer")),
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
    near = (
        tr("as the theory says")
        if sigmoid <= 1.1 * THEORY
        else tr("more than the theory allows")
    )  # fmt: skip
    first = tr(
        "Before training, the gradient at the first of {depth} layers is {ratio} times smaller "
        "with sigmoids than with ReLUs: each sigmoid layer passes on {sigmoid:.2f} of the "
        "gradient, {near} (at most 1/4), and each ReLU layer {relu:.2f}.",
        depth=depth,
        ratio=short(ratio),
        sigmoid=sigmoid,
        near=near,
        relu=factors["relu"],
    )
    if ratio < 10:
        first = tr(
            "The gradient does not vanish here: at depth {depth}, that of the first layer is only "
            "{ratio:.1f} times smaller with sigmoids than with ReLUs, contrary to the lecture.",
            depth=depth,
            ratio=ratio,
        )
    shares = {kind: final[kind, depth] for kind in factors}
    told = ", ".join(f"{name_of(kind)} {share:.0%}" for kind, share in shares.items())
    return first, tr(
        "After the last epoch, the validation accuracy is {accuracies}: {verdict}.",
        accuracies=told,
        verdict=_verdict(shares["relu"], shares["sigmoid"], chance),
    )


def _verdict(relu: float, sigmoid: float, chance: float) -> str:
    """What the accuracies of the deep networks show."""
    if relu - sigmoid <= 0.04:
        return tr("ReLUs show no advantage in accuracy here, contrary to the lecture")
    if relu <= chance + 0.1:
        return tr(
            "with ReLUs it does little better than guessing, so this shows nothing; train longer, "
            "or with more seeds"
        )
    if sigmoid < chance + 0.02:
        return tr("the deep network trains with ReLUs but not with sigmoids, as the lecture says")
    return tr("ReLUs train better than sigmoids, which still learn something")


def _sections(
    study: Measurements,
    starts: list[Gradients],
    courses: list[Course],
    factors: Mapping[str, float],
    deep: int,
) -> list[Section]:
    return [
        Section(
            tr("Before training"),
            tr(
                "The norm of the loss gradient by the weights of each layer, which the optimiser "
                "works with. Left: by layer, for {depth} layers; layer 1 sees the image. Right: "
                "the first layer, by depth of the network.",
                depth=deep,
            ),
            drawn(
                [through_layers(study, starts, deep), by_depth(study, starts)],
                tr("Gradient norms by layer and by depth"),
            ),
        ),
        _factors_section(factors, deep),
        Section(
            tr("During training"),
            tr(
                "Each network is trained with Adam, at the best of three rates around the one that "
                "the learning-rate finder suggests. Training loss and validation accuracy."
            ),
            drawn(learning_panels(study, courses), tr("Loss and accuracy during training")),
        ),
        Section(
            tr("The first layer during training"),
            tr("The gradient that reaches the first layer, per epoch."),
            drawn(first_panels(study, courses), tr("First layer's gradient during training")),
        ),
    ]


def _factors_section(factors: Mapping[str, float], deep: int) -> Section:
    return Section(
        tr("Attenuation per layer"),
        tr(
            "The factor by which a layer scales the gradient on its way back to the input, "
            "geometric mean over the convolutions, at {depth} layers: the activation's derivative "
            "times the effect of the weights. He et al. scale the weights for ReLUs up by the "
            "square root of 2, since half of the units are inactive, and those for tanh by 5/3. "
            "The derivative of a sigmoid is at most 1/4: after seven layers less than a "
            "ten-thousandth of the gradient is left. Batch norm brings what reaches each sigmoid "
            "to mean 0 and variance 1, and its scale multiplies the gradient.",
            depth=deep,
        ),
        table(
            (
                tr("activation"),
                tr("factor per layer"),
                tr("after {count} layers", count=deep - 2),
                tr("maximum derivative"),
            ),
            [
                (name_of(k), f"{f:.3f}", f"{f ** (deep - 2):.2g}", _slope(k))
                for k, f in factors.items()
            ],
            left=(0,),
        ),
    )


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
    return "1/4" if kind.removesuffix(NORM) == "sigmoid" else "1"
