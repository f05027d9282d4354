"""Gradient descent on a parabola: a ball at several learning rates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgecat.report.charts import COLOURS, GRID, INK
from edgecat.study.plots import canvas, image_of
from edgecat.study.words import tr

_RATES = (0.1, 0.6, 1.0, 1.9, 2.05)
_STEPS = 14


def places(rate: float) -> NDArray[np.float64]:
    """Return w before the first step of gradient descent on w²/2 from 1, and after each."""
    return np.power(1 - rate, np.arange(_STEPS + 1, dtype=np.float64))


def parabola_figure() -> str:
    """Draw the ball on the parabola, a panel per rate, and its place by step; an image element."""
    with canvas(10.2, 5.6) as figure:
        above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(1, 1.15))[:, 0]
        grid = above.subplots(1, len(_RATES), sharey=True)
        w = np.linspace(-2.2, 2.2, 200)
        for axes, rate, colour in zip(grid, _RATES, COLOURS, strict=False):
            way = places(rate)
            axes.plot(w, w**2 / 2, color="#8a8f98", linewidth=1)
            axes.plot(way, way**2 / 2, color=colour, linewidth=1.2, marker="o", markersize=4)
            axes.plot(way[:1], way[:1] ** 2 / 2, "o", color=INK, markersize=7)
            axes.set_title(tr("rate {rate:g}", rate=rate), fontsize=11)
            axes.set_xlabel("w")
            axes.set_xlim(-2.3, 2.3)
            axes.spines[["top", "right"]].set_visible(False)
        grid[0].set_ylabel("w²/2")
        axes = below.subplots()
        for rate, colour in zip(_RATES, COLOURS, strict=False):
            label = tr("rate {rate:g}", rate=rate)
            axes.plot(places(rate), color=colour, marker=".", linewidth=1.8, label=label)
        axes.set_title(tr("w by step"), fontsize=11, loc="left")
        axes.set_xlabel(tr("step"))
        axes.set_ylabel("w")
        axes.set_ylim(-2.2, 2.2)
        axes.grid(color=GRID)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
        return image_of(figure, tr("Steps on a parabola"))
