"""The HTML report of a comparison: self-contained, no scripts, every string escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from edgecat.report.charts import error_bars, error_histogram, keys
from edgecat.report.page import badge, data_url, page, table, verdict
from edgecat_export import __version__
from edgecat_export.parity.comparison import AGREEMENT_LIMITS, Pair
from edgecat_export.parity.evidence import EDGES, Case, Evidence
from edgecat_export.parity.layers import Drift
from edgecat_runtime.system.atomic import atomic_write
from edgecat_runtime.system.opencv import cv2_module
from edgecat_runtime.types import Image, Logits

_TABLE_CLASSES = 20  # more do not fit on a page; then only the differing predictions are listed
_ALIKE = 6  # frames shown if none differs


@dataclass(frozen=True)
class Entry:
    """One comparison in the report.

    Attributes:
        pair: the result.
        evidence: the data behind it, if frames were compared.
        drift: per-layer results, if requested.
    """

    pair: Pair
    evidence: Evidence | None = None
    drift: Drift | None = None


@dataclass(frozen=True)
class Source:
    """The origin of a frame.

    Attributes:
        name: of the photograph.
        label: its class; empty if unknown.
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
    """Write the report atomically.

    Args:
        path: the `.html` file.
        entries: the comparisons, all with the same labels.
        labels: class names in the order of the logits.
        sources: of the frames, in the order of comparison; empty for golden frames.
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
    result = f"{failed} of {len(entries)} comparisons failed" if failed else "All models agree"
    frames = f"{len(sources):,} photographs" if sources else "golden frames"
    sections = _Sections(labels, sources, temperature)
    body = [
        "<h1>Comparison of models</h1>",
        verdict(result, "fail" if failed else "pass"),
        f"<p>edgecat {escape(__version__)} compared on {escape(frames)}.</p>",
        _summary(entries),
        *(sections.of(i, entry) for i, entry in enumerate(entries)),
    ]
    return page(f"edgecat verify: {result}", "\n".join(body))


class _Sections:
    """The sections of one report."""

    def __init__(
        self, labels: Sequence[str], sources: Sequence[Source], temperature: float
    ) -> None:
        self._labels = labels
        self._sources = sources
        self._temperature = temperature

    def of(self, index: int, entry: Entry) -> str:
        pair = entry.pair
        parts = [
            f'<section id="c{index}"><h2>{escape(pair.candidate)} <small>on '
            f"{escape(pair.backend)}, {pair.precision}, against {escape(pair.reference)}</small> "
            f"{badge(pair.passed)}</h2>"
        ]
        if entry.evidence is not None:
            parts.append(_errors(entry.evidence, pair.logit_limit))
            parts.append(self._answers(entry.evidence))
            parts.append(self._cases(entry.evidence))
        if entry.drift is not None:
            parts.append(_layers(entry.drift))
        return "".join([*parts, "</section>"]) if len(parts) > 1 else ""

    def _answers(self, evidence: Evidence) -> str:
        """Frames by the reference's and the candidate's class."""
        heading = "<h3>Predictions of both models</h3>"
        names = self._labels
        if len(names) > _TABLE_CLASSES:
            differing = [(k, n) for k, n in evidence.answers.most_common() if k[0] != k[1]]
            listed = [
                (escape(names[a]), escape(names[b]), f"{n:,}") for (a, b), n in differing[:50]
            ]
            return heading + table(("reference", "candidate", "frames"), listed, left=(0, 1))
        order = range(len(names))
        rows = [
            (escape(names[a]), *(f"{n:,}" if (n := evidence.answers[a, b]) else "·" for b in order))
            for a in order
        ]
        header = ("reference \\ candidate", *map(escape, names))
        return heading + table(header, rows, left=(0,))

    def _cases(self, evidence: Evidence) -> str:
        if not evidence.cases:
            return ""
        if evidence.differing:
            shown = [case for case in evidence.cases if not case.agreed]
            title = f"They disagree on {evidence.differing:,} of {evidence.n:,} frames"
            title += (
                f"; the {len(shown)} with the largest error"
                if (len(shown) < evidence.differing)
                else ""
            )
        else:
            shown = evidence.cases[:_ALIKE]
            title = (
                f"They agree on all {evidence.n:,} frames; the {len(shown)} with the largest error"
            )
        return f'<h3>{title}</h3><div class="sheet cases">{"".join(map(self._case, shown))}</div>'

    def _case(self, case: Case) -> str:
        known = case.index < len(self._sources)
        source = self._sources[case.index] if known else Source(f"frame {case.index}")
        shows = f" <small>actual: {escape(source.label)}</small>" if source.label else ""
        return (
            f'<figure><img alt="{escape(source.name)}" src="{_jpeg(case.frame)}"><figcaption>'
            f"<span>{escape(source.name)}</span>{shows}<br>"
            f"reference: <b>{self._said(case.expected)}</b><br>"
            f'candidate: <b class="{"pass" if case.agreed else "fail"}">'
            f"{'' if case.agreed else '✗ '}{self._said(case.found)}</b>"
            f"<br>error {case.error:.1e}</figcaption></figure>"
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
        *("candidate", "", "worst error", "agreement", "frames", "backend", "precision"),
        "against",
    )
    rows = [
        (
            f'<a href="#c{i}">{escape(Path(p.candidate).name)}</a>',
            badge(p.passed),
            f"{p.max_logit_error:.1e}<br><small>limit {p.logit_limit:.0e}</small>",
            f"{p.agreement:.2%}<br><small>limit {AGREEMENT_LIMITS[p.precision]:.1%}</small>",
            *(f"{p.n:,}", escape(p.backend), p.precision, escape(Path(p.reference).name)),
        )
        for i, p in enumerate(entry.pair for entry in entries)
    ]
    return f"<section>{table(head, rows, left=(0, 1, 5, 6, 7))}</section>"


def _errors(evidence: Evidence, limit: float) -> str:
    return (
        "<h3>Worst logit error of each frame, relative to the golden logits' spread</h3>"
        + error_histogram(evidence.counts.tolist(), EDGES.tolist(), limit=limit)
    )


def _layers(drift: Drift) -> str:
    """Each layer's own and accumulated error as a table with bars."""
    rows = [
        (
            escape(layer.name),
            escape(layer.operator),
            f"{layer.own:.1e}",
            f"{layer.accumulated:.1e}",
            error_bars((layer.own, layer.accumulated), limit=drift.limit),
        )
        for layer in drift.layers
    ]
    header = ("layer", "operator", "own error", "accumulated", keys(("own", "accumulated")))
    marked = [number for number, layer in enumerate(drift.layers) if layer is drift.first]
    return (
        f"<h3>Layer by layer</h3><p>{escape(drift.verdict)}.</p>"
        f"{table(header, rows, left=(0, 1, 4), marked=marked)}"
        "<p>Run in segments, the candidate's logits differ by "
        f"{drift.split:.1e} of their magnitude from those of the whole graph.</p>"
    )


def _jpeg(frame: Image) -> str:
    """The frame as a data URL."""
    cv2 = cv2_module()
    done, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 88])
    assert done
    return data_url(data.tobytes(), "image/jpeg")
