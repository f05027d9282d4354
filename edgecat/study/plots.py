"""The studies' plots: panels of lines with bands, as images inside the page."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from edgecat.report.charts import COLOURS, DASHES, GRID, INK, SOFT, themed
from edgecat.report.page import data_url, scrolling
from edgecat.study.fonts import fonts
from edgecat.study.words import language
from edgecat_runtime.errors import BackendMissing
from edgecat_runtime.types import Numbers
from edgecat_runtime.web.style import colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_SETTINGS: Any = {
    "svg.hashsalt": "edgecat",
    "axes.edgecolor": SOFT,
    "axes.labelcolor": SOFT,
    "axes.titlecolor": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "text.color": INK,
    "font.size": 10,
}
_HEX = re.compile(r"#[0-9a-f]{6}\b")


@dataclass(frozen=True)
class Line:
    """A curve with its band.

    Attributes:
        name: legend entry; empty for none.
        x: x values, (n,).
        y: means, (n,).
        low: lower edge of the band, (n,); None for no band.
        high: upper edge of the band.
        colour: one of `COLOURS`.
        style: matplotlib line style: `-`, `--`, `:`, empty for markers only, or `auto`: the dashes
            of its colour, so that lines differ without it.
        marker: matplotlib marker, or empty.
    """

    name: str
    x: Numbers
    y: Numbers
    low: Numbers | None = None
    high: Numbers | None = None
    colour: str = COLOURS[0]
    style: str = "auto"
    marker: str = ""


@dataclass(frozen=True)
class Panel:
    """One plot.

    Attributes:
        title: plain text.
        across: label of the x axis.
        up: label of the y axis.
        lines: the curves.
        log_x: logarithmic x axis.
        log_y: logarithmic y axis.
        ticks: x axis ticks; empty leaves them to matplotlib.
        limits: y axis limits; None leaves them to matplotlib.
        rules: horizontal reference lines, each with its name.
        legend: matplotlib legend location; empty for none.
    """

    title: str
    across: str
    up: str
    lines: Sequence[Line]
    log_x: bool = False
    log_y: bool = False
    ticks: Sequence[float] = ()
    limits: tuple[float | None, float | None] | None = None
    rules: Sequence[tuple[float, str]] = ()
    legend: Any = "best"


def band(
    name: str, x: ArrayLike, runs: ArrayLike, colour: str, *, log: bool = False, **how: str
) -> Line:
    """Return the mean over the runs, with a band from minimum to maximum.

    Args:
        name: legend entry.
        x: x values, (n,).
        runs: one row per seed, (seeds, n); non-finite values leave gaps.
        colour: line colour.
        log: use the geometric mean.
        how: `style` and `marker`.
    """
    values = np.asarray(runs, np.float64)
    mean = np.exp(np.log(values).mean(0)) if log else values.mean(0)
    where = np.asarray(x, np.float64)
    return Line(name, where, mean, values.min(0), values.max(0), colour, **how)


def drawn(panels: Sequence[Panel], alt: str, *, columns: int = 2) -> str:
    """Draw panels side by side, and for phones one below the other; return an image element.

    Raises:
        BackendMissing: matplotlib is not installed.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    wide = _sheet(panels, 10.2 if columns > 1 else 7.6, 3.7 * rows, columns)
    narrow = _sheet(panels, 4.6, 3.4 * len(panels), 1)
    return (
        f'<picture><source media="(max-width: 640px)" srcset="{narrow}">'
        f"{_element(wide, alt)}</picture>"
    )


def _sheet(panels: Sequence[Panel], width: float, height: float, columns: int) -> str:
    """Return the panels as the data URL of an SVG of this size in inches."""
    with canvas(width, height) as figure:
        grid = figure.subplots(-(-len(panels) // columns), columns, squeeze=False).flatten()
        for axes, panel in zip(grid, panels, strict=False):
            _draw(axes, panel)
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
        return _svg_url(figure)


@contextmanager
def canvas(width: float, height: float) -> Iterator[Figure]:
    """Yield an empty figure of this size in inches, in the studies' style; finish with `image_of`.

    Raises:
        BackendMissing: matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BackendMissing("matplotlib is not installed: pip install 'edgecat[train]'") from error
    settings: Any = {**_SETTINGS, **fonts(language())}
    with rc_context(settings):
        yield Figure(figsize=(width, height), layout="constrained")


def show(axes: Axes, picture: Any, title: str = "", **how: Any) -> None:
    """Show an image or map in axes, without ticks and frame; `how` goes to `imshow`."""
    axes.imshow(picture, interpolation="none", **how)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=10)


def image_of(figure: Figure, alt: str) -> str:
    """Return a matplotlib figure as an image element; on a phone it scrolls, to stay legible."""
    return scrolling(_element(_svg_url(figure), alt), alt, wide=True)


def _element(url: str, alt: str) -> str:
    return f'<img class="plot" alt="{escape(alt, quote=True)}" src="{url}">'


def _svg_url(figure: Figure) -> str:
    """Return a figure as the data URL of an SVG whose colours follow the scheme of the page."""
    data = io.BytesIO()
    figure.savefig(data, format="svg", metadata={"Date": None}, transparent=True)
    svg = _HEX.sub(lambda found: themed(found[0]), data.getvalue().decode())
    light, dark = (
        "".join(f"--{name}:{value};" for name, value in colours(scheme).items())
        for scheme in ("light", "dark")
    )
    style = f"svg{{{light}}}@media (prefers-color-scheme: dark){{svg{{{dark}}}}}"
    head, svg_tag, rest = svg.partition("<svg")
    tag, end, inside = rest.partition(">")
    svg = f"{head}{svg_tag}{tag}{end}<style>{style}</style>{inside}"
    return data_url(svg.encode(), "image/svg+xml")


def _dashes(line: Line) -> Any:
    """Return matplotlib's line style."""
    if line.style != "auto":
        return line.style or "none"
    known = DASHES[COLOURS.index(line.colour)] if line.colour in COLOURS else ""
    return (0, tuple(map(float, known.split()))) if known else "-"


def _draw(axes: Axes, panel: Panel) -> None:
    for line in panel.lines:
        if line.low is not None and line.high is not None:
            axes.fill_between(line.x, line.low, line.high, color=line.colour, alpha=0.15, lw=0)
        axes.plot(
            line.x,
            line.y,
            color=line.colour,
            linestyle=_dashes(line),
            marker=line.marker,
            markersize=4,
            linewidth=1.8,
            label=line.name or None,
        )
    for level, name in panel.rules:
        axes.axhline(level, color=SOFT, linewidth=1, linestyle=":")
        axes.annotate(
            name, (1, level), xycoords=("axes fraction", "data"), ha="right", va="bottom",
            fontsize=8.5, color=SOFT,
        )  # fmt: skip
    _dress(axes, panel)


def _dress(axes: Axes, panel: Panel) -> None:
    axes.set_title(panel.title, fontsize=11, loc="left")
    axes.set_xlabel(panel.across)
    axes.set_ylabel(panel.up)
    if panel.log_x:
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter("")
    if panel.log_y:
        axes.set_yscale("log")
    if panel.ticks:
        axes.set_xticks(list(panel.ticks), [f"{tick:g}" for tick in panel.ticks])
        axes.minorticks_off()
    if panel.limits:
        axes.set_ylim(*panel.limits)
    axes.grid(color=GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if panel.legend and any(line.name for line in panel.lines):
        axes.legend(frameon=False, loc=panel.legend, fontsize=9, handlelength=3)
