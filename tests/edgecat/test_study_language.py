"""Studies in Korean: every text has its translation, and the figures are the same."""

from __future__ import annotations

import ast
import re
import string
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import edgecat.study
from edgecat.study import STUDIES, find_study
from edgecat.study.convolution.figures import HOW
from edgecat.study.convolution.learnt import KINDS
from edgecat.study.dropout.measured import VARIANTS as DROPPED
from edgecat.study.fonts import fonts
from edgecat.study.korean import TABLES, TEXTS
from edgecat.study.maps import FILTERS
from edgecat.study.report import save_outcome
from edgecat.study.sequence.measured import READERS
from edgecat.study.shortcuts.measured import VARIANTS
from edgecat.study.surfaces import SURFACES
from edgecat.study.words import speaking, tr
from edgecat_runtime.errors import BackendMissing

Cli = Callable[..., Any]
HANGUL = re.compile("[가-힣]")
SMALL = {"seeds": 1, "pictures": 32, "size": 16, "validation": 8}
QUICK: dict[str, dict[str, Any]] = {
    "learning-rate": {"shares": (0.1, 1.0, 10.0), "epochs": 1, "climb": 16, "trial": 1, "width": 8},
    "optimizers": {"names": ("gd", "adam"), "epochs": 1, "climb": 24, "ways": 8, "trial": 1,
                   "width": 8},
    "dropout": {"widths": (8, 8), "dense": 16, "epochs": 1},
}  # fmt: skip
NAMED = {
    *(question for _, question in STUDIES.values()),
    *DROPPED,
    *READERS.values(),
    *VARIANTS,
    *FILTERS,
    *HOW.values(),
    *KINDS,
    *(surface.name for surface in SURFACES),
    *(surface.text for surface in SURFACES),
}
"""Texts that are translated where they are shown, not where they are written."""


def translated() -> Iterator[tuple[str, set[str]]]:
    """Every text that the studies translate, with the names of the values that it gets."""
    for path in sorted(Path(edgecat.study.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "tr":
                text = node.args[0]
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    yield text.value, {keyword.arg or "" for keyword in node.keywords}


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_every_text_has_its_korean_one() -> None:
    found = {text for text, _ in translated()} | NAMED
    assert len(found) > 250
    assert found - set(TEXTS) == set(), "add them to edgecat/study/korean"
    assert set(TEXTS) - found == set(), "translated, but shown nowhere"


def test_no_text_is_translated_twice() -> None:
    counted = Counter(text for table in TABLES for text in table)
    assert [text for text, count in counted.items() if count > 1] == []


def test_both_languages_show_values_that_are_given() -> None:
    for text, values in translated():
        assert fields(text) <= values, text
        assert fields(TEXTS[text]) <= values, TEXTS[text]
        if "eok" not in values:  # a number that Korean counts in another unit
            assert fields(text) == fields(TEXTS[text]), text


def test_korean_is_korean() -> None:
    bare = {text: re.sub(r"{[^}]*}", "", korean) for text, korean in TEXTS.items()}
    foreign = {
        text
        for text, korean in bare.items()
        if re.search("[A-Za-z]{2}", korean) and not HANGUL.search(korean)
    }
    assert foreign == {"Beale"}


@pytest.mark.parametrize("name", QUICK)
def test_one_measurement_speaks_both_languages(name: str, tmp_path: Path) -> None:
    try:
        fonts("ko")
    except BackendMissing as error:
        pytest.skip(str(error))
    study = find_study(name)(**{**SMALL, **QUICK[name]})
    present = study.measured()
    english = present()
    save_outcome(name, study, english, tmp_path)
    with speaking("ko"):
        korean = present()
        save_outcome(name, study, korean, tmp_path)
    assert korean.figures == english.figures
    assert korean.tables == english.tables
    assert len(korean.sections) == len(english.sections)
    for text in (
        *(korean.lead, *korean.finding),
        *(part for section in korean.sections for part in (section.title, section.text)),
    ):
        assert HANGUL.search(text), text
        assert not re.search("[a-z]{2,} [a-z]{3,} [a-z]{2,}", text), text
    pages = {page.name: page.read_text(encoding="utf-8") for page in tmp_path.glob("*.html")}
    assert set(pages) == {f"{name}.html", f"{name}.ko.html"}
    assert '<html lang="en">' in pages[f"{name}.html"]
    assert '<html lang="ko">' in pages[f"{name}.ko.html"]
    assert not HANGUL.search(pages[f"{name}.html"])


def test_english_comes_back() -> None:
    with speaking("ko"):
        assert tr("{depth} layers", depth=13) == "13층"
    assert tr("{depth} layers", depth=13) == "13 layers"


def test_the_command_lists_the_questions_in_korean(cli: Cli) -> None:
    ran = cli("study", "--language", "ko")
    assert ran.code == 0
    assert all(HANGUL.search(line) for line in ran.out.splitlines())


def test_a_missing_font_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = pytest.importorskip("matplotlib.font_manager")
    monkeypatch.setattr(manager.fontManager, "ttflist", [])
    monkeypatch.setattr(manager, "findSystemFonts", list)
    with pytest.raises(BackendMissing, match="apt install fonts-nanum"):
        fonts("ko")
    assert fonts("en") == {}
