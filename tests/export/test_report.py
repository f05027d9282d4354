from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgecat.report.charts import HUES, LIMIT
from edgecat.report.parity import Entry, Source, report_html, write_report
from edgecat_export.parity.evidence import KEPT, Evidence
from edgecat_export.parity.layers import Drift, Layer
from edgecat_runtime import UserError

GOLDEN = np.array([[0.0, 1.0]], np.float32)
LABELS = ("cat", "<dog> & co")


def evidence(wrong: int = 2, n: int = 10) -> Evidence:
    """`n` frames, all a sure cat to the reference; the last `wrong` are dogs to the candidate."""
    found = Evidence(GOLDEN)
    expected = np.tile(np.array([1.0, 0.0], np.float32), (n, 1))
    candidate = expected + np.float32(1e-6)
    candidate[n - wrong :] = [0.0, 0.5] if wrong else 0
    frames = np.zeros((n, 8, 8, 3), np.uint8)
    frames[..., 2] = np.arange(n)[:, None, None] * 10
    for start in range(0, n, 4):
        part = slice(start, start + 4)
        found.add(expected[part], candidate[part], frames[part])
    return found


def entry(found: Evidence, drift: Drift | None = None) -> Entry:
    return Entry(found.pair("<ref>.onnx", "cand&.onnx", "opencv", "fp32"), found, drift)


def sources(n: int = 10) -> list[Source]:
    return [Source(f"<b>photo {i}</b>.jpg", LABELS[0]) for i in range(n)]


class Pages(HTMLParser):
    """Collects tags, and that they are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "rect", "line"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("rect", "line"):
            assert self.open.pop() == tag


def parsed(html: str) -> Pages:
    pages = Pages()
    pages.feed(html)
    assert pages.open == [], "every tag is closed"
    return pages


def test_evidence_keeps_what_differs_first() -> None:
    found = evidence()
    assert (found.n, found.differing, found.counts.sum()) == (10, 2, 10)
    assert found.answers == {(0, 0): 8, (0, 1): 2}
    assert [case.index for case in found.cases[:2]] == [8, 9]
    assert [case.agreed for case in found.cases] == [False] * 2 + [True] * 8
    assert found.cases[0].frame[0, 0, 2] == 80
    assert found.cases[0].error == pytest.approx(1.0)


def test_a_close_call_comes_before_a_large_error() -> None:
    found = Evidence(GOLDEN)
    expected = np.array([[1.0, 0.0], [0.5, 0.49]], np.float32)
    candidate = np.array([[9.0, 0.0], [0.49, 0.5]], np.float32)
    found.add(expected, candidate, np.zeros((2, 4, 4, 3), np.uint8))
    assert [case.index for case in found.cases] == [1, 0]


def test_evidence_does_not_grow_with_the_data() -> None:
    found = evidence(wrong=40, n=100)
    assert len(found.cases) == KEPT
    assert found.differing == 40
    assert all(case.frame.base is None for case in found.cases)


def test_an_infinite_error_is_counted_and_shown() -> None:
    found = Evidence(GOLDEN)
    odd = np.array([[np.nan, 1.0]], np.float32)
    found.add(np.array([[1.0, 0.0]], np.float32), odd, np.zeros((1, 4, 4, 3), np.uint8))
    assert found.counts[-1] == 1
    assert "nan%" in report_html([entry(found)], labels=LABELS)


def test_the_report_is_self_contained_and_escaped() -> None:
    html = report_html([entry(evidence())], labels=LABELS, sources=sources())
    pages = parsed(html)
    assert {"script", "link", "iframe", "b"} & {tag for tag, _ in pages.tags} <= {"b"}
    assert not re.search(r"(?:src|href)=\"(?!data:image/jpeg;base64,|#)", html)
    assert "url(" not in html
    assert "http:" not in html
    assert "https:" not in html
    for raw in ("<b>photo", "<dog>", "<ref>", "cand&.onnx"):
        assert raw not in html
    for kept in ("&lt;b&gt;photo 8", "&lt;dog&gt; &amp; co", "&lt;ref&gt;", "cand&amp;.onnx"):
        assert kept in html


def test_the_report_shows_the_photographs_that_differ() -> None:
    html = report_html([entry(evidence())], labels=LABELS, sources=sources())
    assert "1 of 1 comparisons fail" in html
    assert "They disagree on 2 of 10" in html
    cards = re.findall(r"<figure>.*?</figure>", html, re.S)
    assert len(cards) == 2
    assert "photo 8" in cards[0]
    assert re.search(r"reference: <b>cat 73\.11%", cards[0])
    assert re.search(r"candidate: <b class=\"fail\">✗ &lt;dog&gt; &amp; co 62\.25%", cards[0])
    data = re.search(r"base64,([^\"]+)", cards[1])
    assert data is not None
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(data[1]), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (8, 8, 3)
    assert np.abs(picture[..., 2].astype(int) - 90).max() < 6


def test_the_report_counts_answers_and_errors() -> None:
    html = report_html([entry(evidence())], labels=LABELS, sources=sources())
    assert '<tr><td>cat</td><td class="number">8</td><td class="number">2</td></tr>' in html
    bars = re.findall(r'<rect fill="(\S+)" [^>]*><title>(\d+) frames', html)
    assert bars == [(HUES[0], "8"), (LIMIT, "2")]


def test_where_none_differs_the_nearest_are_shown() -> None:
    html = report_html([entry(evidence(wrong=0))], labels=LABELS, sources=sources())
    assert "All models agree" in html
    assert "They agree on all 10 frames; the 6 with the largest error" in html
    assert html.count("<figure>") == 6


def test_many_classes_are_listed_not_tabled() -> None:
    labels = [f"class {i}" for i in range(30)]
    found = Evidence(np.array([[0.0, 1.0]], np.float32))
    expected = np.eye(30, dtype=np.float32)[:4]
    candidate = np.eye(30, dtype=np.float32)[[0, 1, 2, 29]]
    found.add(expected, candidate, np.zeros((4, 4, 4, 3), np.uint8))
    html = report_html([entry(found)], labels=labels)
    assert '<tr><td>class 3</td><td>class 29</td><td class="number">1</td></tr>' in html
    assert html.count("<th>class") == 0


def test_layers_are_shown_and_the_first_is_marked() -> None:
    layers = (Layer("conv<1>", "Conv", 1e-7, 1e-7), Layer("fc", "Gemm", 2e-2, 3e-2))
    drift = Drift("ref", "cand", "opencv", 1e-4, layers, 0.0)
    html = report_html([entry(evidence(), drift)], labels=LABELS)
    parsed(html)
    assert '<tr class="fail"><td>fc</td><td>Gemm</td><td class="number">2.0e-02</td>' in html
    assert "conv&lt;1&gt;" in html
    assert "starts to drift from ref at fc (Gemm)" in html


def test_a_report_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_report(tmp_path / "new" / "r.html", [entry(evidence())], labels=LABELS)
    assert (tmp_path / "new" / "r.html").read_text().endswith("</html>\n")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"r\.html"):
        write_report(tmp_path / "file" / "r.html", [entry(evidence())], labels=LABELS)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "new"]
