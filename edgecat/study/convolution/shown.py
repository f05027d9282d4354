"""What was found, in sentences, plots and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from torch import Tensor

from edgecat.report.page import table
from edgecat.study.convolution.figures import (
    TIMES,
    Changes,
    field_figure,
    filters_figure,
    marks_html,
    padding_panels,
    shift_panels,
    weights_panels,
)
from edgecat.study.frame import Outcome, Section, Table
from edgecat.study.maps import (
    MARGIN,
    SHIFTS,
    Layer,
    border_response,
)
from edgecat.study.pictures import Material, coloured
from edgecat.study.plots import drawn


def outcome(found: Material, greys: Tensor, changes: Changes, layers: Sequence[Layer]) -> Outcome:
    """Turn the figures into sentences, plots and tables.

    Args:
        found: the pictures.
        greys: of them, float (n, 1, size, size), 0..1.
        changes: by way and times of pooling, (seeds, shifts), as `shift_changes` gives them.
        layers: of VGG16.
    """
    border = border_response(greys[..., MARGIN:-MARGIN, MARGIN:-MARGIN])
    one = {key: float(runs[:, 0].mean()) for key, runs in changes.items()}
    first, last = layers[0], layers[-1]
    return Outcome(
        lead=f"Four 3x3 filters made by hand, ReLU and pooling over {found.about}; and what "
        f"VGG16's layers weigh and see, worked out from its graph.",
        finding=finding(one, layers),
        facts=[
            (f"{one['max', 0]:.0%} → {one['max', 1]:.0%}", "a shift's change, unpooled and pooled"),
            (
                _times(first.dense_weights / first.weights),
                "as many weights, were the first layer dense",
            ),
            (f"{first.field} → {last.field} px", "seen by one place, first and last layer"),
            (
                _times(float(np.mean(list(border.values())))),
                "stronger answers at a padded border than inside",
            ),
        ],
        sections=_sections(found, greys, changes, layers, border),
        tables={
            "": _changes_table(changes),
            "vgg16": _layers_table(layers),
            "border": Table(("filter", "border_over_inside"), tuple(border.items())),
        },
        figures={
            "change_at_one_pixel": {f"{how}-{times}": v for (how, times), v in one.items()},
            "border_over_inside": border,
            "receptive_field": {layer.name: layer.field for layer in layers},
            "first_layer": {"weights": first.weights, "dense_weights": first.dense_weights},
        },
        skipped=found.skipped,
    )


def finding(one: Mapping[tuple[str, int], float], layers: Sequence[Layer]) -> tuple[str, str]:
    """Say in two sentences what the figures show.

    Args:
        one: change by a shift of one pixel, by way and times of pooling.
        layers: of VGG16.
    """
    none, once, most = (one["max", times] for times in (0, 1, TIMES[-1]))
    verdict = (
        "pooling forgives a small shift, as the lecture says"
        if most < once < 0.9 * none
        else "pooling does not forgive a small shift here, against the lecture"
    )
    mean, skip = one["mean", 1], one["skip", 1]
    others = (
        f"the mean of four {'does as well' if mean < 1.1 * once else 'does less'} ({mean:.0%}), "
        f"keeping just one of four {'does not' if skip > 0.9 * none else 'does too'} ({skip:.0%})"
    )
    first = (
        f"A shift by one pixel changes the filters' map by {none:.0%} of what another picture "
        f"would, by {once:.0%} after one 2x2 max pool and by {most:.0%} after {TIMES[-1]}: "
        f"{verdict}; {others}."
    )
    start, end = layers[0], layers[-1]
    farther = all(a.field <= b.field for a, b in pairwise(layers))
    seen = "ever farther away, as the lecture says" if farther else "not ever farther away"
    second = (
        f"VGG16's first convolution makes its map with {start.weights:,} weights where a dense "
        f"layer would take {_billions(start.dense_weights)}, and its layers see the picture from "
        f"{seen}: one place of the first sees {start.field} pixels across, one of the last "
        f"{end.field} of {start.side}."
    )
    return first, second


def _sections(
    found: Material,
    greys: Tensor,
    changes: Changes,
    layers: Sequence[Layer],
    border: Mapping[str, float],
) -> list[Section]:
    return [
        Section(
            "What the filters mark",
            "Each filter is slid over the picture; where its pattern is, the answer is high (red), "
            "where the opposite is, low (blue). ReLU keeps the high ones, and a 2x2 max pool "
            "with stride 2 halves the map and keeps the strongest mark of every square.",
            filters_figure(coloured(found.training.images[0]), greys[:1]),
        ),
        Section(
            "Each finds its own pattern",
            "The strongest answer of each filter to a drawn edge or ring, of 1 at most. No other "
            "filter answers an edge as strongly as its own; the ring, which has edges all around, "
            "is marked by several.",
            marks_html(),
        ),
        Section(
            "A small shift, forgiven",
            "The pictures move by some pixels up, down, left and right. How much of the filters' "
            "map changes, as a share of what another picture would change. Left: the map as it "
            "is, and made half as large in three ways. Right: max-pooled again and again.",
            drawn(shift_panels(changes), "Change of the map by the shift"),
        ),
        _padding_section(border, layers),
        Section(
            "Weights: shared, or one for every pair of pixels",
            "A convolution uses the same few weights everywhere and connects neighbours only; a "
            "dense layer for the same map has a weight for every pixel of the one and every "
            "pixel of the other.",
            drawn(weights_panels(layers), "Weights, layer by layer", columns=1),
        ),
        Section(
            "Seen from ever farther away",
            "How many pixels of the picture one place of each map depends on, worked out from "
            "the graph; every pool doubles the step from one place to the next.",
            field_figure(coloured(found.training.images[0]), layers)
            + f'<div class="scroll" style="margin-top:20px">{_layers_html(layers)}</div>',
        ),
    ]


def _padding_section(border: Mapping[str, float], layers: Sequence[Layer]) -> Section:
    return Section(
        "Without padding the map runs out",
        "A 3x3 filter has no answer for the outermost pixels, so every convolution loses two "
        "rows and two columns, unless zeros are put around. They cost something: the "
        "picture's border looks like an edge, and the filters answer it "
        + ", ".join(f"{_times(v)} ({name})" for name, v in border.items())
        + " as strongly as what is inside.",
        drawn(padding_panels(layers), "Side of the map, layer by layer", columns=1),
    )


def _layers_html(layers: Sequence[Layer]) -> str:
    header = (
        *("layer", "map", "field, pixels", "step", "weights"),
        *("multiply-adds", "dense layer's weights", "times as many"),
    )
    rows = [
        (
            layer.name,
            f"{layer.outputs} x {layer.side} x {layer.side}",
            f"{layer.field}",
            f"{layer.stride}",
            f"{layer.weights:,}" if layer.weights else "",
            _billions(layer.macs) if layer.weights else "",
            _billions(layer.dense_weights) if layer.weights else "",
            _times(layer.dense_weights / layer.weights) if layer.weights else "",
        )
        for layer in layers
    ]
    return table(header, rows, left=(0,))


def _changes_table(changes: Changes) -> Table:
    rows = tuple(
        (how, times, seed, shift, float(runs[seed, i]))
        for (how, times), runs in changes.items()
        for seed in range(len(runs))
        for i, shift in enumerate(SHIFTS)
    )
    return Table(("pool", "times", "seed", "shift", "change"), rows)


def _layers_table(layers: Sequence[Layer]) -> Table:
    header = (
        *("layer", "inputs", "outputs", "side", "side_unpadded", "field", "stride"),
        *("weights", "multiply_adds", "dense_weights"),
    )
    rows = tuple(
        (
            *(layer.name, layer.inputs, layer.outputs, layer.side, layer.unpadded, layer.field),
            *(layer.stride, layer.weights, layer.macs, layer.dense_weights),
        )
        for layer in layers
    )
    return Table(header, rows)


def _billions(number: int) -> str:
    return f"{number / 1e9:,.1f} billion" if number < 1e10 else f"{number / 1e9:,.0f} billion"


def _times(factor: float) -> str:
    if factor >= 1e6:
        return f"{float(f'{factor / 1e6:.2g}'):,.0f} million times"
    value = float(f"{factor:.2g}")
    return f"{value:,.0f} times" if value >= 10 else f"{value:g} times"
