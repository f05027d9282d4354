"""`edgecat evaluate`: its figures, its JSON, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save

from edgecat.cli.evaluate import _show_worst
from edgecat.cli.terminal.console import table
from edgecat_runtime import read_card
from edgecat_runtime.model.artifact import seal_safetensors

Cli = Callable[..., "object"]


def test_json_has_its_shape(cli: Cli, checkpoint: Path, album: Path) -> None:
    ran = cli("evaluate", checkpoint, album, "--json")
    assert ran.code == 0, ran.err
    figures = json.loads(ran.out)
    assert list(figures) == [
        *("model", "backend", "n", "accuracy", "interval", "loss", "auc", "ece"),
        *("ece_uncalibrated", "temperature", "answered", "per_class", "confusion"),
        "served_by",
    ]
    assert (figures["model"], figures["backend"], figures["n"]) == (str(checkpoint), "pytorch", 12)
    assert list(figures["per_class"]) == ["cat", "dog"]
    correct = [figures["confusion"][i][i] for i in range(2)]
    assert [row["correct"] for row in figures["per_class"].values()] == correct
    assert figures["accuracy"] == sum(correct) / 12
    assert figures["interval"][0] < figures["accuracy"] < figures["interval"][1]
    assert list(figures["auc"]) == ["dog"]
    assert (figures["answered"], figures["temperature"]) == (1.0, 1.0)
    assert [sum(row) for row in figures["confusion"]] == [6, 6]


def test_every_backend_counts_the_same(
    cli: Cli, checkpoint: Path, exported: Path, album: Path
) -> None:
    answers = {}
    for model, backend in ((checkpoint, "auto"), (exported, "onnxruntime"), (exported, "opencv")):
        ran = cli("evaluate", model, album, "--backend", backend, "--json")
        if ran.code == 1 and "5" in ran.err and backend == "opencv":
            continue  # OpenCV 4 does not take the deployed graph
        assert ran.code == 0, ran.err
        figures = json.loads(ran.out)
        answers[figures["backend"]] = (figures["confusion"], pytest.approx(figures["loss"], 1e-5))
    assert len(answers) >= 2
    assert all(answer == answers["pytorch"] for answer in answers.values())


def test_people_get_a_table(cli: Cli, checkpoint: Path, album: Path) -> None:
    ran = cli("evaluate", checkpoint, album)
    header, cat, dog, _, summary, more = ran.out.splitlines()
    assert header.split() == ["actual", "n", "correct", "predicted", "cat", "predicted", "dog"]
    assert (cat.split()[:2], dog.split()[:2]) == (["cat", "6"], ["dog", "6"])
    assert "on pytorch" in summary
    assert "of 12 images (95 % confidence: " in summary
    assert "area under ROC: dog " in more


@pytest.mark.parametrize(
    ("splits", "n"),
    [(("train", "test"), 6), (("train", "val"), 12), (("test",), 12)],
)
def test_only_test_pictures_count_where_there_are_any(
    cli: Cli, checkpoint: Path, album: Path, tmp_path: Path, splits: tuple[str, ...], n: int
) -> None:
    for i, path in enumerate(sorted(album.glob("*/*.png"))):
        target = tmp_path / "data" / splits[i % len(splits)] / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    assert json.loads(cli("evaluate", checkpoint, tmp_path / "data", "--json").out)["n"] == n


def test_the_cards_order_of_labels_counts(
    cli: Cli, checkpoint: Path, album: Path, tmp_path: Path
) -> None:
    path = tmp_path / "swapped.safetensors"
    card = replace(read_card(checkpoint), labels=("dog", "cat"))
    path.write_bytes(seal_safetensors(save(load_file(checkpoint)), card))
    plain = json.loads(cli("evaluate", checkpoint, album, "--json").out)
    swapped = json.loads(cli("evaluate", path, album, "--json").out)
    assert list(swapped["per_class"]) == ["dog", "cat"]
    assert swapped["accuracy"] == pytest.approx(1 - plain["accuracy"])


def test_broken_pictures_are_named(cli: Cli, checkpoint: Path, album: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    shutil.copytree(album, pictures)
    (pictures / "dog" / "torn.jpg").write_bytes(b"\xff\xd8\xff torn")
    ran = cli("evaluate", checkpoint, pictures, "--json")
    assert ran.code == 0
    assert json.loads(ran.out)["n"] == 12
    assert ran.err.count("torn.jpg") == 1


@pytest.mark.parametrize(
    ("model", "data", "backend", "sentence"),
    [
        ("CHECKPOINT", "owls", "auto", "class folders ['owl'] are not among the model's labels"),
        ("CHECKPOINT", "missing", "auto", "missing does not exist"),
        ("CHECKPOINT", "torn", "auto", "none of 2 images could be decoded"),
        ("CHECKPOINT", "ALBUM", "onnxruntime", "cannot open vgg16.safetensors"),
        ("text.onnx", "ALBUM", "auto", "text.onnx is not an ONNX model"),
        ("missing.onnx", "ALBUM", "auto", "missing.onnx does not exist"),
        ("picture.png", "ALBUM", "auto", "picture.png is not a model"),
    ],
)
def test_evaluate_mistakes(
    cli: Cli,
    checkpoint: Path,
    album: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    data: str,
    backend: str,
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for place in ("owls/owl", "torn/cat", "torn/dog"):
        Path(place).mkdir(parents=True)
        Path(place, "1.png").write_bytes(b"torn")
    Path("text.onnx").write_text("no model\n")
    Path("picture.png").touch()
    names = {"CHECKPOINT": str(checkpoint), "ALBUM": str(album)}
    ran = cli("evaluate", names.get(model, model), names.get(data, data), "--backend", backend)
    assert (ran.code, ran.out) == (1, "")
    assert sentence in ran.err
    assert ran.err.count("\n") == 1


def test_many_classes_are_shown_by_the_weakest(capsys: pytest.CaptureFixture[str]) -> None:
    labels = [f"class {number}" for number in range(200)]
    confusion = np.diag(np.full(200, 10))
    confusion[7, 7], confusion[7, 9] = 6, 4
    _show_worst(labels, confusion)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["actual", "n", "correct", "most", "often", "predicted", "as"]
    assert lines[1].split() == ["class", "7", "10", "60.00%", "class", "9", "(4)"]
    assert lines[-1] == "The 10 weakest of 200 classes; --json has the whole matrix."
    assert max(map(len, lines)) < 80


def test_tables_are_aligned_with_wide_characters(capsys: pytest.CaptureFixture[str]) -> None:
    table(["shown", "n"], [["고양이", "5"], ["cat", "50"]])
    assert capsys.readouterr().out.splitlines() == ["shown    n", "고양이   5", "cat     50"]
