"""The findings in sentences, plots and tables."""

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
from edgecat.study.convolution.learnt import learnt_figure
from edgecat.study.frame import Outcome, Section, Table
from edgecat.study.maps import (
    MARGIN,
    SHIFTS,
    Layer,
    border_response,
)
from edgecat.study.material import Material, coloured
from edgecat.study.plots import drawn
from edgecat.study.words import tr


def outcome(found: Material, greys: Tensor, changes: Changes, layers: Sequence[Layer]) -> Outcome:
    """Present the figures as sentences, plots and tables.

    Args:
        found: the images.
        greys: the images in grey, float (n, 1, size, size), 0..1.
        changes: results of `shift_changes`, (seeds, shifts), by kind and number of pools.
        layers: the layers of VGG16.
    """
    border = border_response(greys[..., MARGIN:-MARGIN, MARGIN:-MARGIN])
    one = {key: float(runs[:, 0].mean()) for key, runs in changes.items()}
    first, last = layers[0], layers[-1]
    return Outcome(
        lead=tr(
            "Four hand-made 3x3 filters, ReLU and pooling on {images}; and the weights and "
            "receptive fields of VGG16, computed from its graph.",
            images=found.learnt,
        ),
        finding=finding(one, layers),
        facts=[
            (
                f"{one['max', 0]:.0%} → {one['max', 1]:.0%}",
                tr("change after a shift, unpooled and pooled"),
            ),
            (
                _times(first.dense_weights / first.weights),
                tr("as many weights if the first layer were dense"),
            ),
            (f"{first.field} → {last.field} px", tr("receptive field, first and last layer")),
            (
                _times(float(np.mean(list(border.values())))),
                tr("stronger response at a padded border than inside"),
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
    """Summarise the figures in two sentences.

    Args:
        one: change for a shift of one pixel, by kind and number of pools.
        layers: the layers of VGG16.
    """
    none, once, most = (one["max", times] for times in (0, 1, TIMES[-1]))
    verdict = (
        tr("pooling tolerates a small shift, as the lecture says")
        if most < once < 0.9 * none
        else tr("pooling does not tolerate a small shift here, contrary to the lecture")
    )
    mean, skip = one["mean", 1], one["skip", 1]
    others = (
        tr("the mean of four does as well ({share:.0%})", share=mean)
        if mean < 1.1 * once
        else tr("the mean of four does less ({share:.0%})", share=mean),
        tr("keeping just one of four does not ({share:.0%})", share=skip)
        if skip > 0.9 * none
        else tr("keeping just one of four does too ({share:.0%})", share=skip),
    )
    first = tr(
        "A shift by one pixel changes the filters' map by {none:.0%} of what another image would, "
        "by {once:.0%} after one 2x2 max pool and by {most:.0%} after {times}: {verdict}; "
        "{others}.",
        none=none, once=once, most=most, times=TIMES[-1], verdict=verdict,
        others=", ".join(others),
    )  # fmt: skip
    start, end = layers[0], layers[-1]
    farther = all(a.field <= b.field for a, b in pairwise(layers))
    grown = (
        tr("the receptive field grows, as the lecture says, from {first} pixels to {last} of "
           "{side}", first=start.field, last=end.field, side=start.side)
        if farther
        else tr("the receptive field does not grow throughout, from {first} pixels to {last} of "
                "{side}", first=start.field, last=end.field, side=start.side)
    )  # fmt: skip
    second = tr(
        "VGG16's first convolution computes its map with {shared:,} weights, where a dense layer "
        "would need {dense}; {grown}.",
        shared=start.weights, dense=_billions(start.dense_weights), grown=grown,
    )  # fmt: skip
    return first, second


def _sections(
    found: Material,
    greys: Tensor,
    changes: Changes,
    layers: Sequence[Layer],
    border: Mapping[str, float],
) -> list[Section]:
    return [
        *_filter_sections(found, greys),
        Section(
            tr("Tolerance to small shifts"),
            tr(
                "The images are shifted by a few pixels up, down, left and right. The change of "
                "the filters' map is relative to that of another image. Left: the map unpooled, "
                "and pooled once in three ways. Right: max-pooled several times."
            ),
            drawn(shift_panels(changes), tr("Change of the map against the shift")),
        ),
        _padding_section(border, layers),
        Section(
            tr("Weights: shared or dense"),
            tr(
                "A convolution uses the same few weights everywhere and connects only neighbours; "
                "a dense layer for the same map has one weight for every pair of an input and an "
                "output pixel."
            ),
            drawn(weights_panels(layers), tr("Weights, layer by layer"), columns=1),
        ),
        Section(
            tr("Receptive fields"),
            tr(
                "The number of image pixels that one position of each map depends on, computed "
                "from the graph; every pool doubles the step between positions."
            ),
            field_figure(coloured(found.training.images[0]), layers)
            + f'<div style="margin-top:20px">{_layers_html(layers)}</div>',
        ),
    ]


def _filter_sections(found: Material, greys: Tensor) -> list[Section]:
    image = coloured(found.training.images[0])
    return [
        Section(
            tr("Filter responses"),
            tr(
                "Each filter slides over the image; the response is high (red) where its pattern "
                "is, low (blue) where the opposite is. ReLU keeps the positive ones, and a 2x2 max "
                "pool with stride 2 halves the map and keeps the maximum of every square."
            ),
            filters_figure(image, greys[:1]),
        ),
        Section(
            tr("Each filter finds its own pattern"),
            tr(
                "The maximum response of each filter to a drawn edge or ring, at most 1. No other "
                "filter responds to an edge as strongly as its own; the ring, with edges all "
                "around, excites several."
            ),
            marks_html(),
        ),
        Section(
            tr("Filters that were learnt"),
            tr(
                "The first layer of the model that ships, 3x3 pixels in three colours each, drawn "
                "around grey. Nobody designed them. Above, by kind: an edge filter is bright on "
                "one side and dark on the opposite one. Below: what the four strongest edge "
                "filters answer."
            ),
            learnt_figure(image),
        ),
    ]


def _padding_section(border: Mapping[str, float], layers: Sequence[Layer]) -> Section:
    return Section(
        tr("Maps shrink without padding"),
        tr(
            "A 3x3 filter is undefined at the outermost pixels, so every convolution loses two "
            "rows and two columns without zero padding. Padding has a cost: the border looks like "
            "an edge, and the filters respond to it {times} as strongly as to the inside.",
            times=", ".join(f"{_times(v)} ({tr(name)})" for name, v in border.items()),
        ),
        drawn(padding_panels(layers), tr("Size of the map by layer"), columns=1),
    )


def _layers_html(layers: Sequence[Layer]) -> str:
    header = (
        *(tr("layer"), tr("map"), tr("field, pixels"), tr("stride"), tr("weights")),
        *(tr("multiply-adds"), tr("weights if dense"), tr("ratio")),
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
    billions = f"{number / 1e9:,.1f}" if number < 1e10 else f"{number / 1e9:,.0f}"
    hundreds = f"{number / 1e8:,.1f}" if number < 1e9 else f"{number / 1e8:,.0f}"
    return tr("{count} billion", count=billions, eok=hundreds)  # Korean counts in 10^8


def _times(factor: float) -> str:
    if factor >= 1e6:
        value = float(f"{factor:.2g}")
        return tr("{factor} million times", factor=f"{value / 1e6:,.0f}", eok=f"{value / 1e8:g}")
    value = float(f"{factor:.2g}")
    return tr("{factor} times", factor=f"{value:,.0f}" if value >= 10 else f"{value:g}")
