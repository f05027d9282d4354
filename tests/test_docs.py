"""What is promised about the documents: they name what is there, in both languages the same."""

from __future__ import annotations

import ast
import doctest
import inspect
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from edgecat.pets.synthetic import write_pets

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("README*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/results/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_links_to_is_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_the_lecture_is_the_same_in_both_languages() -> None:
    texts = [(ROOT / "docs" / name).read_text(encoding="utf-8") for name in LECTURES]
    english, korean = (list(map(Path, figures(text))) for text in texts)
    assert [path.name for path in english] == [path.name for path in korean]
    assert {path.parent.name for path in korean if path.suffix == ".svg"} == {"ko"}
    assert commands(texts[0]) == commands(texts[1])
    assert len(re.findall(r"^## ", texts[0], re.M)) == len(re.findall(r"^## ", texts[1], re.M))
    questions = ("**Guess first:**", "**먼저 짐작해 보세요.**")
    counts = [text.count(question) for text, question in zip(texts, questions, strict=True)]
    assert counts[0] == counts[1] > 10


@pytest.mark.parametrize("name", ["lecture.md", "lecture.ko.md"])
def test_the_contents_lead_to_every_chapter(name: str) -> None:
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    chapters = re.findall(r"^## (.*)", text, re.M)
    anchors = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in chapters]
    assert re.findall(r"^\d+\. \[[^\]]*\]\(#([^)]*)\)", text, re.M) == anchors


def test_the_readme_is_the_same_in_both_languages() -> None:
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.ko.md")]
    assert figures(texts[0]) == figures(texts[1])
    assert commands(texts[0]) == commands(texts[1])
    links = [re.findall(r"\]\((https?://[^)]+)\)", text) for text in texts]
    assert links[0] == links[1]


@pytest.mark.parametrize("name", ["README.md", "README.ko.md"])
def test_the_readme_s_first_program_prints_what_it_says(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    found = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", text, re.S)
    assert found
    ran = subprocess.run([sys.executable, "-c", found[1]], capture_output=True, text=True)
    assert (ran.stderr, re.sub(r"\d+\.\d", "N", ran.stdout)) == (
        "",
        re.sub(r"\d+\.\d", "N", found[2]),
    )


def test_the_cookbook_s_programs_work(tmp_path: Path, tiny_onnx: Path) -> None:
    text = (ROOT / "docs" / "cookbook.md").read_text(encoding="utf-8")
    programs = {
        name: code for code, name in re.findall(r"```python\n(# (\w+\.py)\n.*?)```", text, re.S)
    }
    assert sorted(programs) == ["count_by_hour.py", "door.py"]
    write_pets(tmp_path / "pets", count=4, seed=1, size=48)
    shutil.copy(tiny_onnx, tmp_path / "pets.onnx")
    (tmp_path / "events.jsonl").write_text(
        "\n".join(
            f'{{"time": "2026-01-31T{hour}:00:00.120Z", "event": "{event}", "to": "{label}"}}'
            for hour, event, label in [
                ("08", "started", "waiting"),
                ("08", "label", "cat"),
                ("08", "label", "unsure"),
                ("08", "label", "cat"),
                ("09", "label", "dog"),
            ]
        )
    )
    source = programs["door.py"].replace("Camera.open(0)", 'Camera.open("pets/cat")')
    assert source != programs["door.py"]
    for program, *arguments in ((programs["count_by_hour.py"], "events.jsonl"), (source,)):
        ran = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert ran.returncode == 0, ran.stderr
        if arguments:
            assert ran.stdout.split() == "2026-01-31 08h cat 2 2026-01-31 09h dog 1".split()
        else:
            assert re.match(r"- -> (cat|dog|-)\n", ran.stdout)
            assert "2 frames" in ran.stdout


def test_the_moving_picture_moves_and_is_small() -> None:
    image = pytest.importorskip("PIL.Image", reason="it reads WebP")
    path = ROOT / "docs" / "edgecat.webp"
    assert path.stat().st_size < 1_500_000
    with image.open(path) as picture:
        assert picture.n_frames > 20
        assert picture.size == (880, 560)


def test_every_figure_is_shown_and_made_by_the_script() -> None:
    folder = ROOT / "docs" / "lecture"
    shown = {
        figure
        for name in LECTURES
        for figure in figures((ROOT / "docs" / name).read_text(encoding="utf-8"))
    }
    kept = {str(path.relative_to(ROOT / "docs")) for path in folder.rglob("*.*")}
    assert shown == kept
    script = (ROOT / "docs" / "lecture.py").read_text(encoding="utf-8")
    assert [
        path.name
        for path in map(Path, shown)
        if f'"{path.stem}"' not in script and path.name not in script
    ] == []


def test_the_lecture_s_commands_are_commands() -> None:
    text = (ROOT / "docs" / "lecture.md").read_text(encoding="utf-8")
    named = {tuple(command[1:3]) for command in commands(text) if command[0] == "edgecat"}
    for words in sorted(named):
        group = words if words[0] == "deepvis" and words[1] in ("top", "synthesise") else words[:1]
        ran = subprocess.run(
            [sys.executable, "-m", "edgecat", *group, "--help"], capture_output=True
        )
        assert ran.returncode == 0, words


def test_the_errors_to_look_up_are_messages_of_the_code() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = re.findall(r"`([^`]+)`", "\n".join(re.findall(r"^### .*", page, re.M)))
    fragments = [part.strip() for text in quoted for part in text.split("...")]
    wanted = [part for part in fragments if len(part) >= 8]
    assert len(wanted) > 30
    known = [*literals(), (ROOT / "Makefile").read_text(encoding="utf-8")]
    assert [part for part in wanted if not any(part in text for text in known)] == []


def literals() -> set[str]:
    """Every string in the packages; of an f-string, the constant parts."""
    files = [path for folder in PACKAGES for path in (ROOT / folder).rglob("*.py")]
    return {
        node.value
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


PACKAGES = ("runtime/edgecat_runtime", "export/edgecat_export", "edgecat")
API = runpy.run_path(str(ROOT / "docs" / "api.py"))
PUBLIC = {
    f"{package}.{name}": getattr(import_module(package), name)
    for package in API["PACKAGES"]
    for name in import_module(package).__all__
}
CLASSES = {name: value for name, value in PUBLIC.items() if inspect.isclass(value)}


def test_the_api_page_is_up_to_date() -> None:
    written = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert written == API["render"](), "run python docs/api.py"


def test_a_changed_docstring_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgecat.workflows import verify

    monkeypatch.setattr(verify.Verification, "__doc__", "Something else.")
    assert "\nSomething else.\n" in API["render"]()


@pytest.mark.parametrize("name", CLASSES)
def test_every_public_class_has_an_example_that_works(name: str) -> None:
    value = CLASSES[name]
    assert "Example:\n" in inspect.getdoc(value), name
    module = import_module(value.__module__)
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner()
    for test in finder.find(value, name, globs=dict(vars(module))):
        assert test.examples
        assert runner.run(test).failed == 0


LECTURES = ("lecture.md", "lecture.ko.md")


def figures(text: str) -> list[str]:
    return re.findall(r"!\[[^\]]*\]\(([^)]*)\)", text)


def commands(text: str) -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", text, re.S)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]
