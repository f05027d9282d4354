"""Class names in plots: dollars are no mathematics, and every character has a glyph."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgecat.scores import Evaluation
from edgecat.training.plot_names import plot_names
from edgecat.training.plots import draw_confusion

font_manager = pytest.importorskip("matplotlib.font_manager")
KOREAN = "\uace0\uc591\uc774"
UNASSIGNED = "\U000f1234\U000f1235"  # private use: in no installed font


@pytest.fixture
def font(tmp_path: Path) -> Iterator[str]:
    """A real font, made here, with private characters that no other font has."""
    builder = pytest.importorskip("fontTools.fontBuilder").FontBuilder(1000, isTTF=True)
    pen = pytest.importorskip("fontTools.pens.ttGlyphPen").TTGlyphPen(None)
    pen.moveTo((0, 0))
    pen.lineTo((500, 700))
    pen.lineTo((500, 0))
    pen.closePath()
    glyph = pen.glyph()
    names = [".notdef", *(f"u{ord(c):x}" for c in UNASSIGNED)]
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(c): f"u{ord(c):x}" for c in UNASSIGNED})
    builder.setupGlyf(dict.fromkeys(names, glyph))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (600, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Edgecat Test Sans", "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=800, usWinAscent=800, usWinDescent=200)
    builder.setupPost()
    path = tmp_path / "test.ttf"
    builder.save(path)
    before = list(font_manager.fontManager.ttflist)
    font_manager.fontManager.addfont(path)
    yield "Edgecat Test Sans"
    font_manager.fontManager.ttflist[:] = before


def _drawn(labels: tuple[str, ...], path: Path) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_confusion(Evaluation(labels, np.eye(len(labels), dtype=np.int64), 0.0), path)
    return path.read_bytes()


def test_dollars_are_dollars(tmp_path: Path) -> None:
    assert _drawn(("$5 notes", "$\\frac$", "a$b$c"), tmp_path / "confusion.png")
    assert plot_names(["$a$", "b"]).texts == (r"\$a\$", "b")


def test_names_without_a_font_are_numbered(tmp_path: Path) -> None:
    assert plot_names(["cat", UNASSIGNED]).texts == ("cat", "class 1")
    assert _drawn(("cat", UNASSIGNED), tmp_path / "confusion.png")


def test_an_installed_font_is_used(font: str, tmp_path: Path) -> None:
    names = plot_names(["cat", UNASSIGNED])
    assert names.texts == ("cat", UNASSIGNED)
    assert names.families[-1] == font
    shown = _drawn(("cat", UNASSIGNED), tmp_path / "shown.png")
    assert shown != _drawn(("cat", "class 1"), tmp_path / "numbered.png")


def test_korean_is_drawn_without_warnings(tmp_path: Path) -> None:
    """With any set of installed fonts."""
    assert _drawn(("cat", KOREAN), tmp_path / "confusion.png")
    assert plot_names(["cat", KOREAN]).texts in (("cat", KOREAN), ("cat", "class 1"))
