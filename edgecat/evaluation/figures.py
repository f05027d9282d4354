"""Plots of the evaluation report, as inline SVG: ROC, calibration and energies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from edgecat.evaluation.curves import Reliability, Roc
from edgecat.report.charts import DASHES, HUES, LIMIT, RULE
from edgecat_runtime.types import Numbers

_SOFT = "var(--faint)"
_SIDE, _LEFT, _TOP, _LOW = 300, 50, 10, 44  # square plot and its margins
_WIDE, _HIGH = 640, 170  # histogram
_SAMPLE = 26  # length of a line in the legend


def roc_figure(curves: Mapping[str, Roc]) -> str:
    """Draw the ROC curves of at most eight classes, with their AUC."""
    shown = list(curves.items())[: len(HUES)]
    lines = "".join(
        _path(curve.false, curve.true, number) for number, (_, curve) in enumerate(shown)
    )
    legend = [f"{label}: AUC {curve.auc:.4f}" for label, curve in shown]
    return _square(
        "false-positive rate", "true-positive rate", _diagonal() + lines + _legend(legend), "ROC"
    )


def reliability_figure(before: Reliability, after: Reliability | None) -> str:
    """Draw accuracy against confidence; `after` is with temperature scaling."""
    last = after or before
    parts = [_diagonal()]
    legend = [f"error {last.ece:.2%}"]
    if after is not None:
        parts.append(_dotted(before, 1))
        legend.append(f"before temperature scaling {before.ece:.2%}")
    parts.append(_dotted(last, 0))
    return _square("confidence", "accuracy", "".join(parts) + _legend(legend), "Calibration")


def energy_figure(groups: Mapping[str, Numbers], limit: float | None) -> str:
    """Draw the energies of images and of drawn frames as two histograms over one axis."""
    values = np.concatenate(list(groups.values()))
    low, high = np.quantile(values, (0.002, 0.998))
    reach = (high - low) * 0.04 or 1.0
    low, high = low - reach, high + reach
    edges = np.linspace(low, high, 81)
    bars = []
    for (_, energy), colour in zip(groups.items(), HUES, strict=False):
        counts = np.histogram(np.clip(energy, low, high), edges)[0]
        tall = counts / max(int(counts.max()), 1) * (_HIGH - 24)
        bars += [
            f'<rect x="{i * _WIDE / 80:.1f}" y="{_HIGH - h:.1f}" width="{_WIDE / 80 - 1:.1f}" '
            f'height="{h:.1f}" fill="{colour}" fill-opacity="0.62"/>'
            for i, h in enumerate(tall.tolist())
            if h
        ]
    parts = [*bars, _axis(low, high)]
    if limit is not None and low < limit < high:
        x = (limit - low) / (high - low) * _WIDE
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{_HIGH}" stroke="{LIMIT}" '
            f'stroke-width="1.5" stroke-dasharray="5 4"/><text class="ink" y="14" '
            + (f'x="{x + 5:.1f}">' if x < _WIDE / 2 else f'x="{x - 5:.1f}" text-anchor="end">')
            + "unsure above this</text>"
        )
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDE} {_HIGH + 24}" role="img" aria-label="Energies">'
        f"{''.join(parts)}</svg>"
    )


def _axis(low: float, high: float) -> str:
    step = 10 ** np.floor(np.log10((high - low) / 4))
    step *= 5 if (high - low) / step > 30 else 2 if (high - low) / step > 12 else 1
    marks = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
    texts = "".join(
        f'<text x="{(mark - low) / (high - low) * _WIDE:.1f}" y="{_HIGH + 19}" '
        f'text-anchor="middle">{mark:g}</text>'
        for mark in marks.tolist()
    )
    return f'<line x1="0" x2="{_WIDE}" y1="{_HIGH}" y2="{_HIGH}" stroke="{_SOFT}"/>{texts}'


def _square(across: str, up: str, inside: str, name: str) -> str:
    ticks = "".join(
        f'<line x1="{_x(t)}" x2="{_x(t)}" y1="{_TOP}" y2="{_TOP + _SIDE}" stroke="{RULE}"/>'
        f'<line x1="{_LEFT}" x2="{_LEFT + _SIDE}" y1="{_y(t)}" y2="{_y(t)}" stroke="{RULE}"/>'
        f'<text x="{_x(t)}" y="{_TOP + _SIDE + 17}" text-anchor="middle">{t:.0%}</text>'
        f'<text x="{_LEFT - 7}" y="{_y(t) + 4}" text-anchor="end">{t:.0%}</text>'
        for t in (0.0, 0.25, 0.5, 0.75, 1.0)
    )
    return (
        f'<svg class="chart square" viewBox="0 0 {_LEFT + _SIDE + 24} {_TOP + _SIDE + _LOW}" '
        f'role="img" aria-label="{name}">{ticks}'
        f'<text x="{_x(0.5)}" y="{_TOP + _SIDE + 37}" text-anchor="middle">{across}</text>'
        f'<text x="{_LEFT + 6}" y="{_TOP + 14}">{up}</text>{inside}</svg>'
    )


def _diagonal() -> str:
    return (
        f'<line x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}" stroke="{_SOFT}" '
        'stroke-dasharray="3 4" stroke-opacity="0.6"/>'
    )


def _path(across: Numbers, up: Numbers, number: int) -> str:
    points = " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in zip(across, up, strict=True))
    return f'<polyline points="{points}" fill="none" {_stroke(number)}/>'


def _stroke(number: int) -> str:
    """A line's own colour and dashes."""
    return f'stroke="{HUES[number]}" stroke-width="2.2" stroke-dasharray="{DASHES[number]}"'


def _dotted(curve: Reliability, number: int) -> str:
    """Draw a curve with a dot per bin, sized by the number of images in it."""
    largest = max(int(curve.counts.max()), 1)
    dots = "".join(
        f'<circle cx="{_x(x):.1f}" cy="{_y(y):.1f}" r="{2.5 + 5 * (n / largest) ** 0.5:.1f}"/>'
        for x, y, n in zip(curve.confidence, curve.accuracy, curve.counts.tolist(), strict=True)
    )
    line = _path(curve.confidence, curve.accuracy, number)
    return f'<g fill="{HUES[number]}">{line}{dots}</g>'


def _legend(lines: Sequence[str]) -> str:
    """Name the lines in the lower right corner, a sample of each behind its name."""
    right, base = _LEFT + _SIDE - 8, _TOP + _SIDE - 10 - 17 * (len(lines) - 1)
    return "".join(
        f'<line x1="{right - _SAMPLE}" x2="{right}" y1="{base + 17 * i - 4}" '
        f'y2="{base + 17 * i - 4}" {_stroke(i)}/><text class="ink" x="{right - _SAMPLE - 6}" '
        f'y="{base + 17 * i}" text-anchor="end">{escape(line)}</text>'
        for i, line in enumerate(lines)
    )


def _x(share: float) -> float:
    return _LEFT + share * _SIDE


def _y(share: float) -> float:
    return _TOP + (1 - share) * _SIDE
