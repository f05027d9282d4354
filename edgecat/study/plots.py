"""The studies' plots: panels of lines with bands, as images inside the page."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from edgecat.report.charts import COLOURS
from edgecat.report.page import data_url
from edgecat.study.fonts import fonts
from edgecat.study.words import language
from edgecat_runtime.errors import BackendMissing
from edgecat_runtime.types import Numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_INK, _SOFT, _LINE = "#1d2430", "#5d6776", "#e3e7ed"
_SETTINGS: Any = {
    "svg.hashsalt": "edgecat",
    "axes.edgecolor": _SOFT,
    "axes.labelcolor": _SOFT,
    "axes.titlecolor": _INK,
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
    "text.color": _INK,
    "font.size": 10,
}


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
        style: matplotlib line style: `-`, `--`, `:` or empty for markers only.
        marker: matplotlib marker, or empty.
    """

    name: str
    x: Numbers
    y: Numbers
    low: Numbers | None = None
    high: Numbers | None = None
    colour: str = COLOURS[0]
    style: str = "-"
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
    """Draw panels side by side; return an image element.

    Raises:
        BackendMissing: matplotlib is not installed.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    with canvas(10.2 if columns > 1 else 7.6, 3.7 * rows) as figure:
        grid = figure.subplots(rows, columns, squeeze=False).flatten()
        for axes, panel in zip(grid, panels, strict=False):
            _draw(axes, panel)
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
        return image_of(figure, alt)


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
    """Return a matplotlib figure as an image element with embedded SVG."""
    data = io.BytesIO()
    figure.savefig(data, format="svg", metadata={"Date": None}, transparent=True)
    url = data_url(data.getvalue(), "image/svg+xml")
    return f'<img alt="{escape(alt, quote=True)}" src="{url}">'


def _draw(axes: Axes, panel: Panel) -> None:
    for line in panel.lines:
        if line.low is not None and line.high is not None:
            axes.fill_between(line.x, line.low, line.high, color=line.colour, alpha=0.15, lw=0)
        axes.plot(
            line.x,
            line.y,
            color=line.colour,
            linestyle=line.style or "none",
            marker=line.marker,
            markersize=4,
            linewidth=1.8,
            label=line.name or None,
        )
    for level, name in panel.rules:
        axes.axhline(level, color=_SOFT, linewidth=1, linestyle=":")
        axes.annotate(
            name, (1, level), xycoords=("axes fraction", "data"), ha="right", va="bottom",
            fontsize=8.5, color=_SOFT,
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
    axes.grid(color=_LINE)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if panel.legend and any(line.name for line in panel.lines):
        axes.legend(frameon=False, loc=panel.legend, fontsize=9)
