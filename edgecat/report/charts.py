"""Charts for HTML reports, as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

_SOFT, _LINE, _RED = "#5d6776", "#e3e7ed", "#c8423b"
_TEXT = f'font-size="10" fill="{_SOFT}"'
COLOURS = ("#2f6db3", "#d9762b", "#2e8b57", "#8a5bb8", "#b0892f", "#c8423b", "#4a9aa8", "#8a8f98")


def keys(names: Sequence[str]) -> str:
    """A colour legend, as HTML."""
    return "".join(
        f'<span class="key" style="background:{colour}"></span>{escape(name)}'
        for name, colour in zip(names, COLOURS, strict=False)
    )


def error_histogram(counts: Sequence[int], edges: Sequence[float], *, limit: float) -> str:
    """Draw a histogram of frame errors on a logarithmic axis; red beyond the limit.

    Args:
        counts: of each bin.
        edges: bin edges, one more than bins, evenly spaced over whole decades.
        limit: the error limit to mark.
    """
    width, height, base = 640, 150, 120
    step, top = width / len(counts), max(*counts, 1)
    bars = []
    for i, count in enumerate(counts):
        if count:
            tall = max(count / top * (base - 16), 1.5)
            bars.append(
                f'<rect fill="{_RED if edges[i] >= limit else COLOURS[0]}" x="{i * step + 1:.1f}" '
                f'y="{base - tall:.1f}" width="{step - 2:.1f}" height="{tall:.1f}">'
                f"<title>{count:,} frames, error {edges[i]:.1e} to {edges[i + 1]:.1e}</title>"
                "</rect>"
            )
    first, last = round(math.log10(edges[0])), round(math.log10(edges[-1]))
    ticks = "".join(
        f'<text x="{_place(10.0**d, edges, width):.1f}" y="{base + 16}" {_TEXT} '
        f'text-anchor="{"start" if d == first else "middle"}">'
        f"{'≤' if d == first else ''}1e{d}</text>"
        for d in range(first, last)
    )
    place = _place(limit, edges, width)
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="histogram of {sum(counts)} errors">{"".join(bars)}'
        f'<line x1="0" x2="{width}" y1="{base}" y2="{base}" stroke="{_LINE}"/>{ticks}'
        f"{_limit(place, base)}"
        f'<text x="{place + 4:.1f}" y="10" font-size="10" fill="{_RED}">limit {limit:.0e}</text>'
        "</svg>"
    )


def error_bars(errors: Sequence[float], *, limit: float) -> str:
    """Draw errors as stacked thin bars on a logarithmic axis from 1e-9 to 10."""
    edges, width, high = (1e-9, 10.0), 240, 7 * len(errors) + 4
    bars = "".join(
        f'<rect fill="{colour}" x="0" y="{3 + 7 * i}" width="{_place(error, edges, width):.1f}" '
        'height="5"/>'
        for i, (error, colour) in enumerate(zip(errors, COLOURS, strict=False))
    )
    return (
        f'<svg width="{width}" height="{high}" viewBox="0 0 {width} {high}" aria-hidden="true">'
        f"{bars}{_limit(_place(limit, edges, width), high)}</svg>"
    )


def _limit(place: float, high: int) -> str:
    return (
        f'<line x1="{place:.1f}" x2="{place:.1f}" y1="0" y2="{high}" stroke="{_RED}" '
        'stroke-dasharray="3 3"/>'
    )


def _place(value: float, edges: Sequence[float], width: float) -> float:
    """The position of a value on a logarithmic axis."""
    inside = min(max(value, edges[0]), edges[-1])
    return math.log(inside / edges[0]) / math.log(edges[-1] / edges[0]) * width
