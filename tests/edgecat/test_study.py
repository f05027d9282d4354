"""Studies: what their figures must show, and what is said where they show something else."""

from __future__ import annotations

import csv
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from edgecat.pets.synthetic import write_pets
from edgecat.report.page import page
from edgecat.study import STUDIES, Study, find_study
from edgecat.study.activations.measured import Gradients
from edgecat.study.activations.shown import THEORY, vanished
from edgecat.study.activations.shown import finding as activations_finding
from edgecat.study.batch.measured import Walk
from edgecat.study.batch.racing import Race, halved, raced
from edgecat.study.batch.shown import finding as batch_finding
from edgecat.study.dropout.measured import covered, hidden
from edgecat.study.dropout.shown import finding as dropout_finding
from edgecat.study.gradients import gradient, gradients_by_layer
from edgecat.study.learning import Recipe, fit, judged, plain_network, seeded
from edgecat.study.learning_rate import finding as rate_finding
from edgecat.study.material import LabelledImages, frames_of, material, normalised
from edgecat.study.optimizers import finding as optimizers_finding
from edgecat.study.report import csv_text, save_outcome
from edgecat.study.surfaces import SURFACES, Descent, descents
from edgecat_runtime.errors import UserError

Cli = Callable[..., Any]

SMALL = {"seeds": 2, "pictures": 40, "size": 16}
QUICK: dict[str, dict[str, Any]] = {
    "activations": {"kinds": ("sigmoid", "relu"), "depths": (4, 7), "trained": (4,), "width": 8,
                    "validation": 8, "epochs": 1, "batch": 16, "climb": 16, "trial": 1},
    "batch": {"batches": (8, 16), "depth": 4, "width": 8, "epochs": 1, "full_epochs": 2,
              "climb": 24, "trial": 1, "full_trial": 1},
    "learning-rate": {"shares": (0.1, 1.0, 10.0), "depth": 4, "width": 8, "validation": 8,
                      "epochs": 1, "batch": 16, "climb": 16, "trial": 1},
    "optimizers": {"names": ("gd", "sgd", "adam"), "depth": 4, "width": 8, "validation": 8,
                   "epochs": 1, "batch": 16, "climb": 24, "ways": 8,
                   "trial": 1},
    "dropout": {"widths": (8, 8), "dense": 16, "validation": 8, "epochs": 1, "batch": 16},
}  # fmt: skip


@pytest.fixture(scope="module")
def some() -> LabelledImages:
    return material((), training=32, validation=2, size=16).training


@pytest.mark.parametrize("name", QUICK)
def test_a_study_ends_in_a_page_and_figures(name: str, tmp_path: Path) -> None:
    study = _study(name)
    done: list[int] = []
    outcome = study.run(done.append)
    assert sum(done) == study.steps
    html, *tables = save_outcome(name, study, outcome, tmp_path)
    text = html.read_text(encoding="utf-8")
    assert all(sentence.endswith(".") for sentence in outcome.finding)
    assert len(outcome.sections) >= 2
    assert not re.search(r"""(src|href)=["'](?!data:)""", text), "reaches out"
    assert ("<script>" in text) == bool(outcome.script)
    for path in tables:
        with path.open(encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        assert rows
        assert all(len(row) == len(header) for row in rows)
    json.dumps(outcome.figures, allow_nan=False)


@pytest.mark.parametrize("name", ["activations", "optimizers"])
def test_the_same_study_gives_the_same_figures(name: str) -> None:
    first, second = (_study(name, seeds=1).run() for _ in range(2))
    assert first.finding == second.finding
    assert {k: csv_text(t) for k, t in first.tables.items()} == {
        k: csv_text(t) for k, t in second.tables.items()
    }


def test_the_sigmoids_gradient_vanishes_at_depth_13() -> None:
    """The lecture's claim, at the start of learning, where it does not depend on the machine."""
    pictures = material((), training=32, validation=2, size=32).training
    starts = []
    for kind in ("sigmoid", "relu"):
        for seed in (0, 1):
            with seeded(seed):
                model = plain_network(13, 2, size=32, width=8, active=kind)
            starts.append(Gradients(kind, 13, seed, *gradients_by_layer(model, pictures)))
    assert vanished(starts, 13) > 1000
    for start in starts:
        assert len(start.weights) == len(start.outputs) == 13
        low, high = (0.1, THEORY) if start.kind == "sigmoid" else (0.7, 1.4)
        assert low < start.factor < high


def test_gradients_by_layer_are_those_of_autograd(some: LabelledImages) -> None:
    with seeded(0):
        model = plain_network(4, 2, size=16, width=8, active="tanh")
    weights, outputs = gradients_by_layer(model, some)
    whole = gradient(model, some)
    biased = [float(g) for g in weights]
    named = dict(model.named_parameters())
    pieces = torch.split(whole, [p.numel() for p in named.values()])
    expected = [
        float(piece.norm())
        for name, piece in zip(named, pieces, strict=True)
        if name.endswith("weight")
    ]
    assert biased == pytest.approx(expected, rel=1e-4)
    bias = pieces[-1]  # of the logits: their gradient, summed over the pictures
    assert float(bias.norm()) <= outputs[-1] * math.sqrt(len(some)) + 1e-6


def test_learning_learns(some: LabelledImages) -> None:
    with seeded(0) as random:
        model = plain_network(4, 2, size=16, width=8)
        before = judged(model, some)
        fit(model, some, Recipe("adam", 0.005, batch=8, epochs=25), random=random)
    after = judged(model, some)
    assert after[0] < 0.5 * before[0]
    assert after[1] > 0.85


@pytest.mark.parametrize("depth", [0, 1, 5, 12])
def test_a_depth_that_is_none_is_refused(depth: int) -> None:
    with pytest.raises(ValueError, match="expected 4, 7, 10"):
        plain_network(depth, 2, size=16)


def test_a_race_is_to_the_full_batchs_best() -> None:
    races = raced([_walk(100, (0.7, 0.6, 0.5, 0.55)), _walk(10, (0.7, 0.65, 0.4, 0.3), pace=0.1)])
    assert [(r.batch, r.target, r.passes) for r in races] == [(100, 0.5, 2), (10, 0.5, 2)]
    assert [r.share for r in races] == pytest.approx([1, 0.1])
    never = raced([_walk(100, (0.7, 0.2)), _walk(10, (0.7, 0.6))])
    assert math.isinf(never[1].seconds)


def test_half_the_initial_loss_is_where_something_is_learnt() -> None:
    slow = [_walk(100, (0.7, 0.6, 0.5)), _walk(100, (0.7, 0.3, 0.2))]
    quick = [_walk(10, (0.7, 0.4, 0.3), pace=0.5), _walk(10, (0.7, 0.35, 0.3), pace=0.5)]
    found = halved([*slow, *quick])
    assert found == {100: (math.inf, math.inf), 10: (0.75, 1.5)}


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.05, "as the lecture promises"),
        (0.5, "but not in a tenth"),
        (2.0, "does not hold here"),
        (math.inf, "is not confirmed here"),
    ],
)
def test_batch_says_what_it_found(share: float, said: str) -> None:
    races = [Race(512, 0.5, 10.0, 60, 1.0), Race(32, 0.5, 10.0 * share, 3, share)]
    halves = {512: (math.inf, math.inf), 32: (4.0, 5.0)}
    first, second = batch_finding(races, {8: 0.3, 32: 0.6}, {8: 9.0, 32: 5.0, 512: 1.2}, halves)
    assert said in first
    assert "batch 32 after 5.0 epochs and 4.0 seconds, full batch not in every run" in first
    assert "as the lecture says" in second
    _, second = batch_finding(races, {8: 0.3, 32: 0.6}, {8: 1.0, 32: 1.0, 512: 1.2}, halves)
    assert "contrary to the lecture" in second


@pytest.mark.parametrize(
    ("ratio", "sigmoid", "relu", "first", "second"),
    [
        (4e7, 0.5, 0.9, "40,000,000 times smaller", "as the lecture says"),
        (4e7, 0.7, 0.9, "40,000,000 times smaller", "still learn something"),
        (4e7, 0.5, 0.55, "40,000,000 times smaller", "little better than guessing"),
        (4e7, 0.5, 0.53, "as the theory says", "contrary to the lecture"),
        (1.5, 0.9, 0.9, "does not vanish here", "contrary to the lecture"),
    ],
)
def test_activations_says_what_it_found(
    ratio: float, sigmoid: float, relu: float, first: str, second: str
) -> None:
    factors = {"sigmoid": 0.22, "relu": 0.95}
    final = {("sigmoid", 13): sigmoid, ("relu", 13): relu}
    said = activations_finding(ratio, factors, final, 13, 0.5)
    assert first in said[0]
    assert second in said[1]


@pytest.mark.parametrize(
    ("final", "said"),
    [
        ({0.01: 0.69, 1.0: 0.2, 30.0: math.inf}, ("far too large", "as the lecture says")),
        ({0.01: 0.3, 1.0: 0.2, 30.0: 0.1}, ("still trains", "do not both appear")),
        ({0.01: 0.7, 1.0: 0.8, 30.0: math.inf}, ("infinity", "do not both appear")),
    ],
)
def test_learning_rate_says_what_it_found(final: dict[float, float], said: tuple[str, str]) -> None:
    for sentence, words in zip(rate_finding(final, 0.693, 0.02), said, strict=True):
        assert words in sentence


@pytest.mark.parametrize(
    ("adam", "spread", "said"),
    [(0.1, 0.0, "advice, Adam when in doubt, holds"), (0.3, 0.2, "within the spread of the seeds"),
     (0.3, 0.01, "was not the best here")],
)  # fmt: skip
def test_optimizers_says_what_it_found(adam: float, spread: float, said: str) -> None:
    ways = [Descent("valley", name, 0.1, (), (), at) for name, at in (("gd", 90), ("adam", 20))]
    losses = {"gd": 0.6, "nag": 0.2, "adam": adam}
    first, second = optimizers_finding(losses, dict.fromkeys(losses, spread), ways)
    assert said in first
    assert "adam on the valley (step 20; gd after 90)" in second


@pytest.mark.parametrize(
    ("gap", "under", "said"),
    [(0.1, 0.7, ("as the lecture says", "helps against")),
     (0.4, 0.5, ("contrary to the lecture", "makes occlusion worse"))],
)  # fmt: skip
def test_dropout_says_what_it_found(gap: float, under: float, said: tuple[str, str]) -> None:
    names = ("neither", "dropout", "hidden squares", "both")
    gaps = dict(zip(names, (0.4, gap, 0.3, 0.1), strict=True))
    blind = dict(zip(names, (0.6, under, 0.62, 0.72), strict=True))
    right = dict.fromkeys(names, 0.7)
    found = dropout_finding(gaps, right, right, blind, 0.4, 0.02)
    for sentence, words in zip(found, said, strict=True):
        assert words in sentence


def test_optimisers_find_the_way_down() -> None:
    found = descents(("gd", "adam"), steps=60, seed=0, advance=lambda ways: None)
    assert len(found) == 2 * len(SURFACES)
    assert all(way.heights[-1] < way.heights[0] for way in found)
    for surface in SURFACES:
        assert all(surface.at(m) < surface.at(surface.start) for m in surface.minima)
        assert len({round(surface.at(m), 6) for m in surface.minima}) == 1


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5])
def test_squares_hide_that_share(some: LabelledImages, share: float) -> None:
    bright = LabelledImages(torch.ones_like(some.images), some.labels)
    hid = covered(bright, share).images
    assert float((hid == 0).float().mean()) == pytest.approx(share, abs=0.04)
    assert torch.equal(hid, covered(bright, share).images)
    assert float(bright.images.min()) == 1
    random = torch.Generator().manual_seed(0)
    assert 0 < float((hidden(bright, 0.5, random).images == 0).float().mean()) < 0.5


def test_images_and_frames_are_each_others_reverse() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    back = frames_of(LabelledImages(normalised(frames), torch.zeros(2, dtype=torch.int64)))
    assert np.array_equal(back, frames)


def test_photographs_are_split_and_mixed(photographs: Path) -> None:
    found = material((str(photographs),), training=100, validation=4, size=16)
    assert found.labels == ("cat", "dog")
    assert len(found.training) == 36
    assert len(found.validation) == 4
    assert found.training.images.shape == (36, 3, 16, 16)
    assert 0 < int(found.training.labels[:18].sum()) < 18
    assert found.skipped


def test_too_few_photographs_are_refused(album: Path) -> None:
    with pytest.raises(UserError, match="needs 32 or more"):
        material((str(album),), training=100, validation=10, size=16)


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_is_found(name: str) -> None:
    assert issubclass(find_study(name), Study)


def test_an_unknown_study_is_named() -> None:
    with pytest.raises(
        UserError, match=r"unknown study 'nope'; expected one of activations, batch"
    ):
        find_study("nope")


def test_the_command_lists_the_studies(cli: Cli) -> None:
    ran = cli("study")
    assert ran.code == 0
    assert [line.split()[0] for line in ran.out.splitlines()] == list(STUDIES)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nope",), "unknown study 'nope'"),
        (("activations", "--data", "missing"), "missing"),
        (("activations", "--output", "file/below"), "cannot write file/below"),
        (("activations", "--output", "file"), "file is a file; expected a folder for the output"),
    ],
)
def test_the_command_refuses_in_a_sentence(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    ran = cli("study", *arguments)
    assert ran.code == 1
    assert said in ran.err
    assert ran.err.count("\n") == 1
    assert not list(tmp_path.glob("**/*.html"))


def test_a_script_is_the_only_one_that_may_run() -> None:
    text = page("t", "<p>b</p>", script="let a = 1;")
    assert "script-src 'sha256-" in text
    assert "<script>let a = 1;</script>" in text
    assert "script" not in page("t", "<p>b</p>")


def test_the_list_needs_no_torch() -> None:
    code = (
        "import sys; from edgecat.cli.study import study; study(None); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'matplotlib')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Forty-eight noisy pictures in two classes, one damaged."""
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        folder = tmp_path / "photos" / label
        folder.mkdir(parents=True)
        for i in range(24):
            cv2.imwrite(str(folder / f"{i:02}.png"), rng.integers(0, 256, (20, 24, 3), np.uint8))
    (tmp_path / "photos" / "cat" / "damaged.jpg").write_bytes(b"\xff\xd8 torn")
    return tmp_path / "photos"


def _study(name: str, **changes: Any) -> Study:
    return find_study(name)(**{**SMALL, **QUICK[name], **changes})


def _walk(batch: int, losses: tuple[float, ...], pace: float = 1.0) -> Walk:
    times = tuple(pace * i for i in range(len(losses)))
    passes = tuple(float(i) for i in range(len(losses)))
    return Walk(batch, 0, 0.1, passes, times, losses, 1.0, 1.0, torch.zeros(0, 0))


def test_too_few_pictures_say_which_could_not_be_used(tmp_path: Path) -> None:
    write_pets(tmp_path / "pets", 20, size=32)
    (tmp_path / "pets" / "cat" / "000007.jpg").write_text("no picture")
    with pytest.raises(UserError, match=r"1 could not be used, e.g. .*000007\.jpg"):
        material((str(tmp_path / "pets"),), training=64, validation=64, size=16)


def test_ctrl_c_is_one_word_and_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import signal\n"
        "from edgecat.cli import main\n"
        "from edgecat.study import activations\n"
        "activations.Activations.measured = lambda *_: signal.raise_signal(signal.SIGINT)\n"
        "main()\n"
    )
    command = [
        sys.executable,
        "-c",
        code,
        "study",
        "activations",
        "--output",
        str(tmp_path / "new"),
    ]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (130, "")
    assert ran.stderr.strip().endswith("error: interrupted")
    assert list(tmp_path.iterdir()) == []
