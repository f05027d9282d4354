"""The demo, made small: every stage runs, and the page needs nothing beside it."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgecat.cli import app
from edgecat.demo import DemoConfig, run_demo
from edgecat.demo.demo import MARK
from edgecat.demo.figures import contact_sheet, player, timeline
from edgecat.demo.result import Said, Tile
from edgecat.pets.film import HEIGHT, WIDTH, webm_from_clip, write_clip
from edgecat_runtime import Classifier, UserError
from edgecat_runtime.outputs.recorder import playable_suffix


@dataclass(frozen=True)
class Ran:
    """A small demo that has run."""

    config: DemoConfig
    report: Path
    lines: list[str]

    @property
    def html(self) -> str:
        return self.report.read_text(encoding="utf-8")

    @property
    def figures(self) -> dict[str, dict[str, object]]:
        found: dict[str, dict[str, object]] = json.loads(
            (self.config.output / MARK).read_text(encoding="utf-8")
        )
        return found


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    config = DemoConfig(
        output=tmp_path_factory.mktemp("small") / "demo",
        pictures=60,
        test_pictures=24,
        size=32,
        width=0.1,
        epochs=2,
        scenes=2,
        scene_frames=12,
        seconds=0.1,
    )
    lines: list[str] = []
    return Ran(config, run_demo(config, lines.append), lines)


def test_every_stage_is_announced(ran: Ran) -> None:
    assert [line[:3] for line in ran.lines if re.match(r"\d/\d", line)] == [
        f"{number}/7" for number in range(1, 8)
    ]


def test_the_page_needs_nothing_beside_it(ran: Ran) -> None:
    """No outside address, every picture is inside, and every tag is closed."""
    addresses = re.findall(r'(?:src|href)="([^"]{1,40})', ran.html)
    assert addresses
    assert all(address.startswith("data:") for address in addresses)
    assert not re.search(r'https?://|@import|url\(|src="(?!data:)', ran.html)
    checker = _Tags()
    checker.feed(ran.html)
    assert checker.open == []
    assert "$" not in re.sub(r"base64,[^\"]*", "", ran.html)


def test_the_page_names_one_run_and_the_mean_speed(ran: Ran) -> None:
    assert "runs/pets/vgg16.safetensors runs/pets/vgg16.onnx" in ran.html
    rows = (ran.config.output / "run" / "metrics.csv").read_text().splitlines()
    rates = [float(row["images_per_second"]) for row in csv.DictReader(rows)]
    mean = len(rates) / sum(1 / rate for rate in rates)
    said = re.search(r"\((\d+) images per second\)", ran.html)
    assert said
    assert int(said[1]) == pytest.approx(mean, abs=0.6)


def test_the_page_shows_what_the_json_holds(ran: Ran) -> None:
    figures = ran.figures
    assert f"{figures['evaluate']['accuracy']:.1%}" in ran.html
    assert len(figures["verify"]) >= 2
    assert all(pair["passed"] for pair in figures["verify"])  # type: ignore[index]
    for timing in figures["benchmark"]:
        assert f"{timing['latency_ms']['p50']:.2f}" in ran.html  # type: ignore[index]
    assert figures["camera"]["frames"] == 24


def test_the_recording_has_every_frame(ran: Ran) -> None:
    (recording,) = ran.config.output.glob("camera.*")
    assert recording.suffix == playable_suffix()
    capture = cv2.VideoCapture(str(recording))
    count = 0
    while True:
        there, frame = capture.read()
        if not there:
            break
        assert frame.shape == (HEIGHT, WIDTH, 3)
        count += 1
    assert count == 24


def test_the_model_serves(ran: Ran) -> None:
    with Classifier.open(ran.config.output / "run" / "vgg16.onnx") as classifier:
        assert classifier.labels == ("cat", "dog")


def test_a_second_demo_takes_the_place_of_the_first(tmp_path: Path, ran: Ran) -> None:
    """And only of a demo: a folder with anything else in it is left alone."""
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    with pytest.raises(UserError, match="contains other files than a demo's"):
        run_demo(DemoConfig(output=tmp_path), print)
    assert (tmp_path / "photo.jpg").read_bytes() == b"mine"


def test_an_interrupted_demo_shows_nothing_of_the_one_before(tmp_path: Path) -> None:
    for name in ("report.html", "camera.mkv", "camera.webm", "clip.mkv", MARK):
        (tmp_path / name).write_text("old")

    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_demo(DemoConfig(output=tmp_path), interrupt)
    assert [path.name for path in tmp_path.iterdir()] == [MARK]
    assert json.loads((tmp_path / MARK).read_text()) == {}


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--output", "{file}"], 1, "file"),
        (["--output", "{file}/demo"], 1, "file"),
        (["--output", "{full}"], 1, "contains other files than a demo's"),
        (["--seed", "-1"], 2, "seed"),
        (["--seed", "x"], 2, "seed"),
    ],
)
def test_mistakes(tmp_path: Path, arguments: list[str], code: int, sentence: str) -> None:
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "photo.jpg").write_bytes(b"mine")
    places = {name: str(tmp_path / name) for name in ("file", "full")}
    answer = CliRunner().invoke(app, ["demo", *(a.format(**places) for a in arguments)])
    found = getattr(answer.exception, "exit_code", answer.exit_code)
    assert found == code
    assert sentence in f"{answer.exception} {answer.output}"


def test_a_film_is_the_same_every_time_and_moves(tmp_path: Path) -> None:
    truth = [
        write_clip(tmp_path / name, scenes=2, frames=10, seed=3) for name in ("a.mkv", "b.mkv")
    ]
    assert truth[0] == truth[1]
    assert sorted(set(truth[0])) == ["cat", "dog"]
    assert (tmp_path / "a.mkv").read_bytes() == (tmp_path / "b.mkv").read_bytes()
    capture = cv2.VideoCapture(str(tmp_path / "a.mkv"))
    frames = [capture.read()[1].astype(np.int16) for _ in range(20)]
    steps = [np.abs(a - b).mean() for a, b in pairwise(frames)]
    assert min(steps) > 0.1, "the camera never stands still"
    assert max(steps) < 40, "and no scene is cut into another"


def test_a_browser_can_play_the_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = tmp_path / "clip.mkv"
    write_clip(clip, scenes=2, frames=6, seed=0)
    webm = webm_from_clip(clip, width=160, every=2)
    if webm is not None:
        assert webm[:4] == b"\x1a\x45\xdf\xa3"
        assert b"webm" in webm[:64]
        assert b"V_VP8" in webm[:1024]
        assert 'src="data:video/webm;base64,' in player(clip)
    monkeypatch.setattr("edgecat.demo.figures.webm_from_clip", lambda *a, **k: None)
    assert player(clip).count("data:image/jpeg;base64,") == 6


def test_each_picture_has_its_answer_beneath_and_a_mark_beside_its_colour() -> None:
    image = np.full((64, 64, 3), 90, np.uint8)
    html = contact_sheet([Tile(image, "cat", True), Tile(image, "<b>", False)])
    assert html.count('src="data:image/jpeg;base64,') == 2
    assert '<figcaption class="pass">✓ cat</figcaption>' in html
    assert '<figcaption class="fail">✗ &lt;b&gt;</figcaption>' in html


@pytest.mark.parametrize("frames", [24, 400, 410, 419, 430])
def test_no_second_of_the_timeline_is_cut_off(frames: int) -> None:
    """At 12 units high, a character is under 8 wide; the corners are round."""
    svg = timeline([Said("cat", "cat", "cat", 0.9)] * frames, 25.0)
    found = re.findall(r'<text x="([\d.]+)" [^>]*text-anchor="(\w+)"[^>]*>(\d+ s)<', svg)
    assert len(found) == frames // 50 + 1
    for x, anchor, text in found:
        left = float(x) - (8 * len(text) if anchor == "end" else 0)
        assert left >= 6
        assert left + 8 * len(text) <= 1026


def test_the_timeline_marks_what_is_wrong() -> None:
    said = [Said("cat", "cat", "cat", 0.9), Said("dog", "cat", "cat", 0.6)]
    svg = timeline(said, 25.0)
    right, wrong = re.findall(r'<rect x="[^"]*" y="([^"]*)" width="[^"]*" height="([^"]*)"', svg)
    assert float(right[0]) + float(right[1]) == pytest.approx(float(wrong[0])), "below the line"
    assert svg.count('fill="var(--red)"') == 1
    assert ">cat</text>" in svg
    assert ">dog</text>" in svg


class _Tags(HTMLParser):
    """Checks that tags are closed in the order in which they were opened."""

    _EMPTY = ("meta", "img", "br", "rect", "link", "input")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self._EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self._EMPTY:
            assert self.open.pop() == tag
