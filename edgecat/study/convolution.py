"""What do convolution and pooling do to a picture? Filters, padding, pooling, fields of view.

Filters: Sobel and Feldman, 1968. Max pooling: Yamaguchi et al., 1990; that halving a map breaks
what a shift would leave alone: Zhang, 2019, https://arxiv.org/abs/1904.11486. VGG16: Simonyan and
Zisserman, 2014, https://arxiv.org/abs/1409.1556.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import relu

from edgecat.report.charts import COLOURS
from edgecat.report.page import table
from edgecat.study.frame import Advance, Outcome, Section, Study, Table
from edgecat.study.maps import (
    FILTERS,
    MARGIN,
    POOLS,
    SHIFTS,
    Layer,
    border_response,
    filtered,
    grey_of,
    marks,
    pooled,
    shift_changes,
    vgg16_layers,
)
from edgecat.study.pictures import LEAST, Material, coloured, material
from edgecat.study.plots import Line, Panel, band, canvas, drawn, image_of, show

TIMES = (0, 1, 2, 3)
"""How often the maps are pooled."""

_VGG_SIZE = 224
_JUDGED = 8  # `material` splits them off; nothing is learnt here
_HOW = {"max": "the greatest of four", "mean": "the mean of four", "skip": "the first of four"}

Changes = Mapping[tuple[str, int], NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True)
class Convolution(Study):
    """Hand-made filters over pictures, which then move a little; and VGG16, layer by layer.

    Attributes:
        size: height and width of the pictures in pixels.
        pictures: of each seed, which are other ones for every seed.
    """

    size: int = 106
    pictures: int = 48

    @property
    def steps(self) -> int:
        """Pictures to draw, and ways to pool."""
        return self._drawn + _JUDGED + len(POOLS) * len(TIMES) * self.seeds

    @property
    def _drawn(self) -> int:
        return max(LEAST, self.pictures * self.seeds)

    def run(self, advance: Advance = lambda steps: None) -> Outcome:
        """Filter, pool and shift; then count VGG16's weights and what its layers see."""
        found = material(
            self.data,
            training=self._drawn,
            validation=_JUDGED,
            size=self.size,
            advance=advance,
        )
        greys = grey_of(coloured(found.training.images))
        groups = [greys[number :: self.seeds] for number in range(self.seeds)]
        changes: dict[tuple[str, int], NDArray[np.float64]] = {}
        for how in POOLS:
            for times in TIMES:
                runs = []
                for group in groups:
                    runs.append(shift_changes(group, how, times))
                    advance(1)
                changes[how, times] = np.stack(runs)
        return outcome(found, greys, changes, vgg16_layers(_VGG_SIZE))


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
            _filters_figure(coloured(found.training.images[0]), greys[:1]),
        ),
        Section(
            "Each finds its own pattern",
            "The strongest answer of each filter to a drawn edge or ring, of 1 at most. No other "
            "filter answers an edge as strongly as its own; the ring, which has edges all around, "
            "is marked by several.",
            _marks_html(),
        ),
        Section(
            "A small shift, forgiven",
            "The pictures move by some pixels up, down, left and right. How much of the filters' "
            "map changes, as a share of what another picture would change. Left: the map as it "
            "is, and made half as large in three ways. Right: max-pooled again and again.",
            drawn(_shift_panels(changes), "Change of the map by the shift"),
        ),
        Section(
            "Without padding the map runs out",
            "A 3x3 filter has no answer for the outermost pixels, so every convolution loses two "
            "rows and two columns, unless zeros are put around. They cost something: the "
            "picture's border looks like an edge, and the filters answer it "
            + ", ".join(f"{_times(v)} ({name})" for name, v in border.items())
            + " as strongly as what is inside.",
            drawn(_padding_panels(layers), "Side of the map, layer by layer", columns=1),
        ),
        Section(
            "Weights: shared, or one for every pair of pixels",
            "A convolution uses the same few weights everywhere and connects neighbours only; a "
            "dense layer for the same map has a weight for every pixel of the one and every "
            "pixel of the other.",
            drawn(_weights_panels(layers), "Weights, layer by layer", columns=1),
        ),
        Section(
            "Seen from ever farther away",
            "How many pixels of the picture one place of each map depends on, worked out from "
            "the graph; every pool doubles the step from one place to the next.",
            _field_figure(coloured(found.training.images[0]), layers)
            + f'<div class="scroll" style="margin-top:20px">{_layers_html(layers)}</div>',
        ),
    ]


def _filters_figure(picture: Tensor, grey: Tensor) -> str:
    """Rows of filters: the filter, its answers, what ReLU and the pool leave."""
    answers = filtered(grey)
    stages = (answers, relu(answers), pooled(relu(answers)), pooled(relu(answers), times=3))
    titles = ("answers", "after ReLU", "after a 2x2 max pool", "after three")
    with canvas(10.2, 8.2) as figure:
        grid = figure.subplots(len(FILTERS), 2 + len(stages))
        show(grid[0, 1], picture.permute(1, 2, 0).numpy(), "picture")
        show(grid[1, 1], grey[0, 0].numpy(), "as filtered", cmap="Greys_r", vmin=0, vmax=1)
        for row, name in enumerate(FILTERS):
            kernel = np.array(FILTERS[name])
            show(grid[row, 0], kernel, name, cmap="RdBu_r", vmin=-4, vmax=4)
            for (y, x), value in np.ndenumerate(kernel):
                colour = "white" if abs(value) > 3 else "#1d2430"
                grid[row, 0].text(x, y, str(value), ha="center", va="center", color=colour)
            grid[row, 1].set_axis_off()
            for column, (maps, title) in enumerate(zip(stages, titles, strict=True), 2):
                plane = maps[0, row].numpy()
                most = float(np.percentile(abs(plane), 99.5)) or 1.0
                how = {"cmap": "RdBu_r", "vmin": -most} if column == 2 else {"cmap": "Greys_r"}
                side = f" ({plane.shape[0]})"
                show(grid[row, column], plane, "" if row else title + side, vmax=most, **how)
        return image_of(figure, "A picture under four filters, ReLU and max pooling")


def _marks_html() -> str:
    rows = []
    for name, answers in marks().items():
        most = max(answers.values())
        cells = (f"<b>{v:.2f}</b>" if v == most else f"{v:.2f}" for v in answers.values())
        rows.append((name, *cells))
    return table(("pattern", *(f"{name} filter" for name in FILTERS)), rows, left=(0,))


def _shift_panels(changes: Changes) -> list[Panel]:
    x = (0, *SHIFTS)

    def line(name: str, key: tuple[str, int], colour: str) -> Line:
        percent = 100 * np.pad(changes[key], ((0, 0), (1, 0)))
        return band(name, x, percent, colour, marker="o")

    halved = [line("unpooled", ("max", 0), COLOURS[7])]
    halved += [line(_HOW[how], (how, 1), COLOURS[i]) for i, how in enumerate(POOLS)]
    again = [
        line(f"{times} pools" if times != 1 else "1 pool", ("max", times), COLOURS[(7, 0, 3, 4)[i]])
        for i, times in enumerate(TIMES)
    ]
    across, up = "shift in pixels", "changed, % of another picture's"
    return [
        Panel("Halved once, in three ways", across, up, halved, ticks=x, limits=(0, 100)),
        Panel("2x2 max pools in a row", across, up, again, ticks=x, limits=(0, 100)),
    ]


def _padding_panels(layers: Sequence[Layer]) -> list[Panel]:
    x = np.arange(1.0, len(layers) + 1)
    small = vgg16_layers(64)
    sides = (
        (f"padded, {_VGG_SIZE} pixels", [layer.side for layer in layers], COLOURS[0], "-"),
        (f"not padded, {_VGG_SIZE} pixels", [layer.unpadded for layer in layers], COLOURS[0], ":"),
        ("padded, 64 pixels", [layer.side for layer in small], COLOURS[1], "-"),
        ("not padded, 64 pixels", [layer.unpadded for layer in small], COLOURS[1], ":"),
    )
    lines = [
        Line(name, x, _positive(side), colour=colour, style=style, marker=".")
        for name, side, colour, style in sides
    ]
    return [
        Panel(
            "VGG16's maps, until nothing is left", "layer, pools included", "pixels along a side",
            lines, log_y=True, ticks=x.tolist(), legend="lower left",
        )
    ]  # fmt: skip


def _positive(values: Sequence[int]) -> NDArray[np.float64]:
    """Numbers for a logarithmic axis, where 0 ends the line."""
    return np.array([value or np.nan for value in values], np.float64)


def _weights_panels(layers: Sequence[Layer]) -> list[Panel]:
    convolutions = [layer for layer in layers if layer.weights]
    x = np.arange(1.0, len(convolutions) + 1)
    rows = (
        ("dense layer", [layer.dense_weights for layer in convolutions], COLOURS[1]),
        ("convolution", [layer.weights for layer in convolutions], COLOURS[0]),
    )
    lines = [Line(n, x, np.array(v, np.float64), colour=c, marker="o") for n, v, c in rows]
    return [
        Panel(
            "Weights for the same map", "convolution of VGG16", "weights", lines, log_y=True,
            ticks=x.tolist(), legend="center right",
        )
    ]  # fmt: skip


def _field_figure(picture: Tensor, layers: Sequence[Layer]) -> str:
    """What one place in the middle sees after each block, and how that grows."""
    from matplotlib.patches import Rectangle

    with canvas(10.2, 4.2) as figure:
        seen, grown = figure.subplots(1, 2, width_ratios=(1, 1.25))
        show(seen, picture.permute(1, 2, 0).numpy(), extent=(0, _VGG_SIZE, _VGG_SIZE, 0))
        seen.set_title("one place in the middle, after each pool", fontsize=11, loc="left")
        pools = [layer for layer in layers if not layer.weights]
        for layer, colour in zip(pools, COLOURS, strict=False):
            low = (_VGG_SIZE - layer.field) / 2
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
        grown.set_title("pixels seen along a side", fontsize=11, loc="left")
        grown.spines[["top", "right"]].set_visible(False)
        return image_of(figure, "Receptive fields of VGG16")


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
