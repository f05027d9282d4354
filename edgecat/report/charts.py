"""Charts for HTML reports, as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from edgecat_runtime.web.style import colours, palette

COLOURS = palette()
"""Eight colours for data, on white: for plots that are images of their own."""
HUES = tuple(f"var(--c{number})" for number in range(len(COLOURS)))
"""The same ones for SVG inside a page, which has others for the dark scheme."""
INK, SOFT, GRID = (colours()[name] for name in ("ink", "faint", "rule"))
DASHES = ("", "6 3", "2 2", "8 3 2 3", "1 3", "10 4", "4 4", "8 2 2 2 2 2")
"""A dash pattern for each colour, so that lines differ without it; the first is solid."""
LIMIT, RULE = "var(--red)", "var(--rule)"


def keys(names: Sequence[str]) -> str:
    """A colour legend, as HTML."""
    named = zip(names, HUES, strict=False)
    return " ".join(f'<span class="named">{key(hue)}{escape(name)}</span>' for name, hue in named)


def key(colour: str) -> str:
    """A sample of a line in a colour, with its dashes, as HTML; the colour as for `themed`."""
    hue = themed(colour)
    dash = DASHES[HUES.index(hue)] if hue in HUES else ""
    return (
        '<svg class="key" viewBox="0 0 22 10" aria-hidden="true"><line x1="0" x2="22" y1="5" '
        f'y2="5" stroke="{hue}" stroke-width="5" stroke-dasharray="{dash}"/></svg>'
    )


def themed(colour: str) -> str:
    """Return the CSS for a colour of the light scheme, `#rrggbb`, which follows the scheme."""
    return _THEMED.get(colour, colour)


_THEMED = {
    value: f"var(--{name})" for name, value in colours().items() if name not in ("card", "paper")
}


def error_histogram(counts: Sequence[int], edges: Sequence[float], *, limit: float) -> str:
    """Draw a histogram of frame errors on a logarithmic axis; red beyond the limit.

    Args:
        counts: of each bin.
        edges: bin edges, one more than bins, evenly spaced over whole decades.
        limit: the error limit to mark.
    """
    width, height, base = 640, 150, 124
    step, top = width / len(counts), max(*counts, 1)
    bars = []
    for i, count in enumerate(counts):
        if count:
            tall = max(count / top * (base - 24), 1.5)
            bars.append(
                f'<rect fill="{LIMIT if edges[i] >= limit else HUES[0]}" x="{i * step + 1:.1f}" '
                f'y="{base - tall:.1f}" width="{step - 2:.1f}" height="{tall:.1f}">'
                f"<title>{count:,} frames, error {edges[i]:.1e} to {edges[i + 1]:.1e}</title>"
                "</rect>"
            )
    first, last = round(math.log10(edges[0])), round(math.log10(edges[-1]))
    ticks = "".join(
        f'<text x="{_place(10.0**d, edges, width):.1f}" y="{base + 20}" '
        f'text-anchor="{"start" if d == first else "middle"}">'
        f"{'≤' if d == first else ''}1e{d}</text>"
        for d in range(first, last, 2)
    )
    place = _place(limit, edges, width)
    end = place > width * 0.75
    return (
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="histogram of {sum(counts)} errors">{"".join(bars)}'
        f'<line x1="0" x2="{width}" y1="{base}" y2="{base}" stroke="{RULE}"/>{ticks}'
        f"{_limit(place, base)}"
        f'<text class="ink" x="{place + (-4 if end else 4):.1f}" y="14" '
        f'text-anchor="{"end" if end else "start"}">limit {limit:.0e}</text></svg>'
    )


def error_bars(errors: Sequence[float], *, limit: float) -> str:
    """Draw errors as stacked thin bars on a logarithmic axis from 1e-9 to 10."""
    edges, width, high = (1e-9, 10.0), 240, 7 * len(errors) + 4
    bars = "".join(
        f'<line stroke="{hue}" stroke-width="5" x1="0" x2="{_place(error, edges, width):.1f}" '
        f'y1="{5.5 + 7 * i}" y2="{5.5 + 7 * i}" stroke-dasharray="{dash}"/>'
        for i, (error, hue, dash) in enumerate(zip(errors, HUES, DASHES, strict=False))
    )
    return (
        f'<svg width="{width}" height="{high}" viewBox="0 0 {width} {high}" aria-hidden="true">'
        f"{bars}{_limit(_place(limit, edges, width), high)}</svg>"
    )


def _limit(place: float, high: int) -> str:
    return (
        f'<line x1="{place:.1f}" x2="{place:.1f}" y1="0" y2="{high}" stroke="{LIMIT}" '
        'stroke-dasharray="3 3"/>'
    )


def _place(value: float, edges: Sequence[float], width: float) -> float:
    """The position of a value on a logarithmic axis."""
    inside = min(max(value, edges[0]), edges[-1])
    return math.log(inside / edges[0]) / math.log(edges[-1] / edges[0]) * width
