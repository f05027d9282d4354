"""One HTML file that shows a comparison: no script, nothing to load, every string escaped."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecat_export import __version__
from edgecat_export.parity.comparison import AGREEMENT_LIMITS, Pair
from edgecat_export.parity.evidence import EDGES, Case, Evidence
from edgecat_export.parity.layers import Drift
from edgecat_runtime.system.atomic import atomic_write
from edgecat_runtime.system.opencv import cv2_module
from edgecat_runtime.types import Logits

_TABLE_CLASSES = 20  # more do not fit a page; the answers that differ are listed then
_ALIKE = 6  # frames shown where none differs


@dataclass(frozen=True)
class Entry:
    """One comparison in the report.

    Attributes:
        pair: its result.
        evidence: what it rests on, where frames were compared.
        drift: layer by layer, where it was asked for.
    """

    pair: Pair
    evidence: Evidence | None = None
    drift: Drift | None = None


@dataclass(frozen=True)
class Source:
    """Where a frame came from.

    Attributes:
        name: of the photograph.
        label: what it shows; empty where that is not known.
    """

    name: str
    label: str = ""


def write_report(
    path: str | Path,
    entries: Sequence[Entry],
    *,
    labels: Sequence[str],
    sources: Sequence[Source] = (),
    temperature: float = 1.0,
) -> None:
    """Write the report, whole or not at all.

    Args:
        path: the `.html` file.
        entries: what was compared, with the labels' classes.
        labels: class names in the order of the logits.
        sources: of the frames, in the order in which they were compared; empty for golden frames.
        temperature: of the softmax.

    Raises:
        UserError: the file cannot be written.
        BackendMissing: OpenCV is not installed, which encodes the photographs.
    """
    atomic_write(
        path, report_html(entries, labels=labels, sources=sources, temperature=temperature)
    )


def report_html(
    entries: Sequence[Entry],
    *,
    labels: Sequence[str],
    sources: Sequence[Source] = (),
    temperature: float = 1.0,
) -> str:
    """Return the report as a complete HTML document; arguments as `write_report`."""
    failed = sum(not entry.pair.passed for entry in entries)
    verdict = (
        f"{failed} of {len(entries)} comparisons fail" if failed else "They give the same answer"
    )
    frames = f"{len(sources):,} photographs" if sources else "golden frames"
    page = _Page(labels, sources, temperature)
    return _DOCUMENT.format(
        verdict=escape(verdict),
        colour="fail" if failed else "pass",
        frames=escape(frames),
        version=escape(__version__),
        summary=_summary(entries),
        sections="".join(page.section(i, entry) for i, entry in enumerate(entries)),
    )


class _Page:
    """The sections of one report."""

    def __init__(
        self, labels: Sequence[str], sources: Sequence[Source], temperature: float
    ) -> None:
        self._labels = labels
        self._sources = sources
        self._temperature = temperature

    def section(self, index: int, entry: Entry) -> str:
        pair = entry.pair
        parts = [
            f'<section id="c{index}"><h2>{escape(pair.candidate)} <small>on '
            f"{escape(pair.backend)}, {pair.precision}, against {escape(pair.reference)}</small>"
            f"{_badge(pair)}</h2>"
        ]
        if entry.evidence is not None:
            parts.append(_histogram(entry.evidence, pair.logit_limit))
            parts.append(self._answers(entry.evidence))
            parts.append(self._cases(entry.evidence))
        if entry.drift is not None:
            parts.append(_layers(entry.drift))
        return "".join([*parts, "</section>"]) if len(parts) > 1 else ""

    def _answers(self, evidence: Evidence) -> str:
        """Frames by the reference's and the candidate's class."""
        heading = "<h3>Who said what</h3>"
        names = self._labels
        if len(names) > _TABLE_CLASSES:
            differing = [(k, n) for k, n in evidence.answers.most_common() if k[0] != k[1]]
            listed = [(names[a], names[b], f"{n:,}") for (a, b), n in differing[:50]]
            return heading + _table(("reference", "candidate", "frames"), listed)
        order = range(len(names))
        rows = [
            (names[a], *(f"{n:,}" if (n := evidence.answers[a, b]) else "·" for b in order))
            for a in order
        ]
        return heading + _table(("reference \\ candidate", *names), rows)

    def _cases(self, evidence: Evidence) -> str:
        if not evidence.cases:
            return ""
        if evidence.differing:
            shown = [case for case in evidence.cases if not case.agreed]
            title = f"They differ on {evidence.differing:,} of {evidence.n:,}"
            title += (
                f"; the {len(shown)} with the largest error"
                if (len(shown) < evidence.differing)
                else ""
            )
        else:
            shown = evidence.cases[:_ALIKE]
            title = f"They agree on all {evidence.n:,}; the {len(shown)} with the largest error"
        return f'<h3>{title}</h3><div class="cases">{"".join(map(self._case, shown))}</div>'

    def _case(self, case: Case) -> str:
        known = case.index < len(self._sources)
        source = self._sources[case.index] if known else Source(f"frame {case.index}")
        shows = f" <small>shows {escape(source.label)}</small>" if source.label else ""
        return (
            f'<figure><img alt="{escape(source.name)}" src="{_jpeg(case.frame)}"><figcaption>'
            f'<span class="name">{escape(source.name)}</span>{shows}<br>'
            f"reference: <b>{self._said(case.expected)}</b><br>"
            f'candidate: <b class="{"pass" if case.agreed else "fail"}">{self._said(case.found)}'
            f"</b><br>error {case.error:.1e}</figcaption></figure>"
        )

    def _said(self, logits: Logits) -> str:
        best = int(logits.argmax())
        with np.errstate(invalid="ignore"):
            scaled = logits.astype(np.float64) / self._temperature
            exponents = np.exp(scaled - scaled.max())
            share = exponents[best] / exponents.sum()
        return f"{escape(self._labels[best])} {share:.2%}"


def _summary(entries: Sequence[Entry]) -> str:
    head = (
        *("candidate", "backend", "precision", "against", "frames", "worst error", "limit"),
        *("agreement", "limit", ""),
    )
    rows = [
        "<tr>"
        f'<td><a href="#c{i}">{escape(p.candidate)}</a></td><td>{escape(p.backend)}</td>'
        f"<td>{p.precision}</td><td>{escape(p.reference)}</td>"
        f"<td>{p.n:,}</td><td>{p.max_logit_error:.1e}</td><td>{p.logit_limit:.0e}</td>"
        f"<td>{p.agreement:.2%}</td><td>{AGREEMENT_LIMITS[p.precision]:.1%}</td>"
        f"<td>{_badge(p)}</td></tr>"
        for i, p in enumerate(entry.pair for entry in entries)
    ]
    cells = "".join(f"<th>{name}</th>" for name in head)
    return f'<div class="wide"><table><tr>{cells}</tr>{"".join(rows)}</table></div>'


def _badge(pair: Pair) -> str:
    word = "pass" if pair.passed else "fail"
    return f' <span class="badge {word}">{word.upper()}</span>'


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f'<div class="wide"><table><tr>{top}</tr>{body}</table></div>'


def _histogram(evidence: Evidence, limit: float) -> str:
    """Frames by error on a logarithmic axis, as inline SVG; red where the limit is passed."""
    width, height, base = 640, 150, 120
    step = width / len(evidence.counts)
    top = max(int(evidence.counts.max()), 1)
    bars = []
    for i, count in enumerate(evidence.counts.tolist()):
        if count:
            tall = max(count / top * (base - 16), 1.5)
            colour = "over" if EDGES[i] >= limit else "bar"
            bars.append(
                f'<rect class="{colour}" x="{i * step + 1:.1f}" y="{base - tall:.1f}" '
                f'width="{step - 2:.1f}" height="{tall:.1f}"><title>{count:,} frames, error '
                f"{EDGES[i]:.1e} to {EDGES[i + 1]:.1e}</title></rect>"
            )
    ticks = "".join(
        f'<text x="{_place(10.0**d, width):.1f}" y="{base + 16}" text-anchor="{anchor}">'
        f"{'≤' if d == -9 else ''}1e{d}</text>"
        for d, anchor in ((d, "start" if d == -9 else "middle") for d in range(-9, 1))
    )
    place = _place(limit, width)
    return (
        "<h3>Worst logit error of each frame, relative to the golden logits' spread</h3>"
        f'<svg viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="histogram of {evidence.n} errors">{"".join(bars)}'
        f'<line class="axis" x1="0" x2="{width}" y1="{base}" y2="{base}"/>{ticks}'
        f'<line class="limit" x1="{place:.1f}" x2="{place:.1f}" y1="0" y2="{base}"/>'
        f'<text class="limit" x="{place + 4:.1f}" y="10">limit {limit:.0e}</text></svg>'
    )


def _place(value: float, width: float) -> float:
    """Where a value lies on an axis from 1e-9 to 10."""
    decades = np.log10(np.clip(value, EDGES[0], EDGES[-1]) / EDGES[0])
    return float(decades / np.log10(EDGES[-1] / EDGES[0]) * width)


def _layers(drift: Drift) -> str:
    """Each layer's own and accumulated error as a table with bars."""
    first = drift.first
    rows = []
    for layer in drift.layers:
        bars = "".join(
            f'<rect class="{name}" x="0" y="{y}" width="{_place(value, 240):.1f}" height="5"/>'
            for name, value, y in (("bar", layer.own, 3), ("sum", layer.accumulated, 10))
        )
        place = _place(drift.limit, 240)
        rows.append(
            f'<tr class="{"first" if layer is first else ""}"><td>{escape(layer.name)}</td>'
            f"<td>{escape(layer.operator)}</td><td>{layer.own:.1e}</td>"
            f'<td>{layer.accumulated:.1e}</td><td><svg class="row" viewBox="0 0 240 18" '
            f'aria-hidden="true">{bars}<line class="limit" x1="{place:.1f}" x2="{place:.1f}" '
            'y1="0" y2="18"/></svg></td></tr>'
        )
    return (
        f"<h3>Layer by layer</h3><p>{escape(drift.verdict)}.</p>"
        '<div class="wide"><table><tr><th>layer</th><th>operator</th><th>own error</th>'
        '<th>accumulated</th><th><span class="key bar"></span>own '
        f'<span class="key sum"></span>accumulated</th></tr>{"".join(rows)}</table></div>'
        "<p><small>Run in segments, the candidate's logits are "
        f"{drift.split:.1e} of their size away from those it gives when it runs whole.</small></p>"
    )


def _jpeg(frame: NDArray[np.uint8]) -> str:
    """The frame as a data address."""
    cv2 = cv2_module()
    done, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 88])
    assert done
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")


_DOCUMENT = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>edgecat verify: {verdict}</title>
<style>
:root {{ color-scheme: light dark; --ink: #1a1f26; --paper: #fff; --faint: #66707d;
 --rule: #dde2e8; --blue: #2f6fd0; --grey: #9db2cf; --green: #17803d; --red: #c62f2f; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #e6e9ee; --paper: #14181d;
 --faint: #98a3b1; --rule: #303842; --blue: #6ea8ff; --grey: #4b6284; --green: #4cc47a;
 --red: #ff7b72; }} }}
body {{ margin: 2.5rem auto; max-width: 68rem; padding: 0 1.25rem; color: var(--ink);
 background: var(--paper); font: 15px/1.5 system-ui, sans-serif; }}
h1 {{ font-size: 1.7rem; margin: 0; }} h2 {{ font-size: 1.2rem; margin: 0 0 .5rem; }}
h3 {{ font-size: 1rem; margin: 1.6rem 0 .4rem; }}
section {{ border-top: 1px solid var(--rule); margin-top: 2.2rem; padding-top: 1.4rem; }}
small, .lead {{ color: var(--faint); font-weight: 400; }}
a {{ color: inherit; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ border-bottom: 1px solid var(--rule); padding: .3rem .8rem .3rem 0; text-align: left;
 white-space: nowrap; }}
th {{ color: var(--faint); font-size: .85rem; font-weight: 600; }}
tr.first td {{ color: var(--red); font-weight: 600; }}
.badge {{ border: 1px solid; border-radius: .3rem; font-size: .75rem; font-weight: 600;
 padding: .05rem .4rem; vertical-align: middle; }}
.pass {{ color: var(--green); }} .fail {{ color: var(--red); }}
svg {{ display: block; width: 100%; max-width: 46rem; }} svg.row {{ width: 15rem; }}
svg text {{ fill: var(--faint); font-size: 10px; }} svg text.limit {{ fill: var(--red); }}
.bar {{ fill: var(--blue); background: var(--blue); }}
.sum {{ fill: var(--grey); background: var(--grey); }} .over {{ fill: var(--red); }}
.axis {{ stroke: var(--rule); }} line.limit {{ stroke: var(--red); stroke-dasharray: 3 3; }}
.key {{ display: inline-block; height: .6rem; margin-right: .3rem; width: .6rem; }}
.cases {{ display: grid; gap: 1rem;
 grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); }}
figure {{ margin: 0; }} figure img {{ aspect-ratio: 1; border-radius: .3rem; object-fit: contain;
 width: 100%; }}
figcaption {{ font-size: .85rem; overflow-wrap: anywhere; }} .name {{ color: var(--faint); }}
</style>
<h1 class="{colour}">{verdict}</h1>
<p class="lead">edgecat {version} compared on {frames}</p>
{summary}
{sections}
</html>
"""
