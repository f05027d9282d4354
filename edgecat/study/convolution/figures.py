"""Figures of filters, shifts, borders and receptive fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import relu

from edgecat.report.charts import COLOURS
from edgecat.report.page import table
from edgecat.study.maps import FILTERS, POOLS, SHIFTS, Layer, filtered, marks, pooled, vgg16_layers
from edgecat.study.plots import Line, Panel, band, canvas, image_of, show
from edgecat.study.words import tr

TIMES = (0, 1, 2, 3)
"""Numbers of pools."""
VGG_SIZE = 224
HOW = {"max": "maximum of four", "mean": "mean of four", "skip": "first of four"}
Changes = Mapping[tuple[str, int], NDArray[np.float64]]


def filters_figure(picture: Tensor, grey: Tensor) -> str:
    """Draw a row per filter: the filter, its responses, after ReLU and after pooling."""
    answers = filtered(grey)
    stages = (answers, relu(answers), pooled(relu(answers)), pooled(relu(answers), times=3))
    titles = (tr("responses"), tr("after ReLU"), tr("after a 2x2 max pool"), tr("after three"))
    with canvas(10.2, 8.2) as figure:
        grid = figure.subplots(len(FILTERS), 2 + len(stages))
        show(grid[0, 1], picture.permute(1, 2, 0).numpy(), tr("image"))
        show(grid[1, 1], grey[0, 0].numpy(), tr("input"), cmap="Greys_r", vmin=0, vmax=1)
        for row, name in enumerate(FILTERS):
            kernel = np.array(FILTERS[name])
            show(grid[row, 0], kernel, tr(name), cmap="RdBu_r", vmin=-4, vmax=4)
            for (y, x), value in np.ndenumerate(kernel):
                colour = "white" if abs(value) > 3 else "#000000"
                grid[row, 0].text(x, y, str(value), ha="center", va="center", color=colour)
            grid[row, 1].set_axis_off()
            for column, (maps, title) in enumerate(zip(stages, titles, strict=True), 2):
                plane = maps[0, row].numpy()
                most = float(np.percentile(abs(plane), 99.5)) or 1.0
                how = {"cmap": "RdBu_r", "vmin": -most} if column == 2 else {"cmap": "Greys_r"}
                side = f" ({plane.shape[0]})"
                show(grid[row, column], plane, "" if row else title + side, vmax=most, **how)
        return image_of(figure, tr("An image after four filters, ReLU and max pooling"))


def marks_html() -> str:
    """Return a table of each filter's response to each drawn pattern."""
    rows = []
    for name, answers in marks().items():
        most = max(answers.values())
        cells = (f"<b>{v:.2f}</b>" if v == most else f"{v:.2f}" for v in answers.values())
        rows.append((tr(name), *cells))
    header = (tr("pattern"), *(tr("{pattern} filter", pattern=tr(name)) for name in FILTERS))
    return table(header, rows, left=(0,))


def shift_panels(changes: Changes) -> list[Panel]:
    """Draw the change of the map against the shift, by kind and number of pools."""
    x = (0, *SHIFTS)

    def line(name: str, key: tuple[str, int], colour: str) -> Line:
        percent = 100 * np.pad(changes[key], ((0, 0), (1, 0)))
        return band(name, x, percent, colour, marker="o")

    halved = [line(tr("unpooled"), ("max", 0), COLOURS[7])]
    halved += [line(tr(HOW[how]), (how, 1), COLOURS[i]) for i, how in enumerate(POOLS)]
    again = [
        line(
            tr("{times} pools", times=times) if times != 1 else tr("1 pool"),
            ("max", times),
            COLOURS[(7, 0, 3, 4)[i]],
        )
        for i, times in enumerate(TIMES)
    ]
    across, up = tr("shift in pixels"), tr("change, % of that of another image")
    return [
        Panel(tr("Pooled once, in three ways"), across, up, halved, ticks=x, limits=(0, 100)),
        Panel(tr("Successive 2x2 max pools"), across, up, again, ticks=x, limits=(0, 100)),
    ]


def padding_panels(layers: Sequence[Layer]) -> list[Panel]:
    """Draw the size of the map by layer, with and without padding."""

    def padded(size: int) -> str:
        return tr("padded, {size} pixels", size=size)

    def bare(size: int) -> str:
        return tr("not padded, {size} pixels", size=size)

    x = np.arange(1.0, len(layers) + 1)
    small = vgg16_layers(64)
    sides = (
        (padded(VGG_SIZE), [layer.side for layer in layers], COLOURS[0], "-"),
        (bare(VGG_SIZE), [layer.unpadded for layer in layers], COLOURS[0], ":"),
        (padded(64), [layer.side for layer in small], COLOURS[1], "-"),
        (bare(64), [layer.unpadded for layer in small], COLOURS[1], ":"),
    )
    lines = [
        Line(name, x, _positive(side), colour=colour, style=style, marker=".")
        for name, side, colour, style in sides
    ]
    return [
        Panel(
            tr("Size of VGG16's maps"), tr("layer, pools included"), tr("pixels per side"),
            lines, log_y=True, ticks=x.tolist(), legend="lower left",
        )
    ]  # fmt: skip


def _positive(values: Sequence[int]) -> NDArray[np.float64]:
    """Return values for a logarithmic axis, where 0 ends the line."""
    return np.array([value or np.nan for value in values], np.float64)


def weights_panels(layers: Sequence[Layer]) -> list[Panel]:
    """Draw the number of weights by layer, shared and dense."""
    convolutions = [layer for layer in layers if layer.weights]
    x = np.arange(1.0, len(convolutions) + 1)
    rows = (
        (tr("dense layer"), [layer.dense_weights for layer in convolutions], COLOURS[1]),
        (tr("convolution"), [layer.weights for layer in convolutions], COLOURS[0]),
    )
    lines = [Line(n, x, np.array(v, np.float64), colour=c, marker="o") for n, v, c in rows]
    return [
        Panel(
            tr("Weights for the same map"), tr("convolution in VGG16"), tr("weights"), lines,
            log_y=True, ticks=x.tolist(), legend="center right",
        )
    ]  # fmt: skip


def field_figure(picture: Tensor, layers: Sequence[Layer]) -> str:
    """Draw the receptive field of a central position after each block, and its growth."""
    from matplotlib.patches import Rectangle

    with canvas(10.2, 4.2) as figure:
        seen, grown = figure.subplots(1, 2, width_ratios=(1, 1.25))
        show(seen, picture.permute(1, 2, 0).numpy(), extent=(0, VGG_SIZE, VGG_SIZE, 0))
        title = tr("receptive field at the centre, after each pool")
        seen.set_title(title, fontsize=11, loc="left")
        pools = [layer for layer in layers if not layer.weights]
        for layer, colour in zip(pools, COLOURS, strict=False):
            low = (VGG_SIZE - layer.field) / 2
            box = Rectangle((low, low), layer.field, layer.field, ec=colour, fc="none", lw=2.2)
            seen.add_patch(box)
            seen.annotate(
                f"{layer.field}", (low + 2, low + 2), color="white", fontsize=8, va="top",
                bbox={"facecolor": colour, "edgecolor": "none", "pad": 1},
            )  # fmt: skip
        x = range(len(layers))
        colours = [COLOURS[0] if layer.weights else COLOURS[1] for layer in layers]
        grown.bar(x, [layer.field for layer in layers], color=colours)
        grown.set_xticks(x, [layer.name for layer in layers], rotation=60, ha="right", fontsize=8)
        grown.set_title(tr("receptive field, pixels per side"), fontsize=11, loc="left")
        grown.spines[["top", "right"]].set_visible(False)
        return image_of(figure, tr("Receptive fields of VGG16"))
