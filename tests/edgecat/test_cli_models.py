"""Which model answers, how models are named, and what `edgecat models` lists."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgecat.pretrained import CHECKPOINT, FP16, INT8

Cli = Callable[..., "object"]
SHIPPED_FILES = {str(INT8), str(FP16)}


@pytest.fixture
def picture(album: Path) -> Path:
    return album / "cat" / "0.png"


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder without runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(empty: Path, checkpoint: Path) -> Path:
    """A working folder with one run; its checkpoint."""
    folder = empty / "runs" / "mine"
    folder.mkdir(parents=True)
    shutil.copy(checkpoint, folder)
    return Path("runs") / "mine" / checkpoint.name


def test_json_says_which_model_answered(cli: Cli, exported: Path, picture: Path) -> None:
    served = json.loads(cli("classify", picture, "--model", exported, "--json").out)[0]["served_by"]
    assert served == {
        "file": str(exported),
        "bytes": exported.stat().st_size,
        "precision": "fp32",
        "accuracy": None,
        "n": 0,
        "backend": served["backend"],
        "device": "cpu",
    }
    assert served["backend"] in ("onnxruntime", "opencv", "openvino")


def test_evaluate_and_explain_say_it_too(
    cli: Cli, exported: Path, checkpoint: Path, album: Path, picture: Path, tmp_path: Path
) -> None:
    evaluated = json.loads(cli("evaluate", exported, album, "--json").out)
    assert evaluated["served_by"]["file"] == evaluated["model"] == str(exported)
    page = tmp_path / "why.html"
    ran = cli("explain", picture, "--engine", checkpoint, "--output", page, "--json")
    served = json.loads(ran.out)["served_by"]
    assert (served["file"], served["backend"]) == (str(checkpoint), "torch")


@pytest.mark.parametrize("terminal", [False, True])
def test_a_person_is_told_in_one_line(
    cli: Cli, exported: Path, picture: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    ran = cli("classify", picture, "--model", exported, "--backend", "onnxruntime", "--json")
    assert json.loads(ran.out)
    size = exported.stat().st_size / 1e6
    line = f"model: {exported} ({size:.1f} MB, fp32, accuracy never measured) on onnxruntime, cpu\n"
    assert ran.err == (line if terminal else "")


def test_models_lists_the_shipped_one(cli: Cli, empty: Path) -> None:
    (found,) = json.loads(cli("models", "--json").out)
    assert (found["name"], found["default"], found["labels"]) == ("shipped", True, ["cat", "dog"])
    assert [form["file"] for form in found["forms"]] == [str(CHECKPOINT), str(FP16), str(INT8)]
    assert [form["kind"] for form in found["forms"]][1:] == ["onnx fp16", "onnx int8"]
    low, high = found["interval"]
    assert 0.9 < low < found["accuracy"] < high < 1
    out = cli("models").out
    assert "* shipped" in out
    assert f"{found['accuracy']:.2%} ({low:.1%} to {high:.1%}) of " in out
    assert str(CHECKPOINT) in out


def test_models_lists_runs_and_the_default(cli: Cli, run: Path) -> None:
    shutil.copy(run, run.with_name("damaged.safetensors"))
    with run.with_name("damaged.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\xff")
    ran = cli("models", "--json")
    shipped, mine = json.loads(ran.out)
    assert (shipped["default"], mine["default"]) == (False, True)
    assert (mine["name"], mine["architecture"], mine["accuracy"]) == ("runs/mine", "vgg16", None)
    damaged, whole = mine["forms"]
    assert "was modified" in damaged["problem"]
    assert whole == {
        "file": str(run),
        "bytes": run.stat().st_size,
        "kind": "safetensors fp32",
    }


def test_the_shipped_model_has_a_name(cli: Cli, run: Path, picture: Path) -> None:
    def answered(*words: object) -> str:
        ran = cli("classify", picture, "--json", *words)
        assert ran.code == 0, ran.err
        return json.loads(ran.out)[0]["served_by"]["file"]

    assert answered() == str(run)
    assert answered("--engine", "shipped") in SHIPPED_FILES
    assert answered("--model", "shipped") in SHIPPED_FILES
    assert str(INT8) in cli("inspect", "shipped").out
    assert str(INT8) in cli("inspect", "--model", "shipped").out
    assert str(run) in cli("inspect").out


def test_a_file_called_shipped_is_a_file(cli: Cli, empty: Path, picture: Path) -> None:
    for words in (("classify", picture, "--model=./shipped"), ("inspect", "./shipped")):
        ran = cli(*words)
        assert (ran.code, f"{empty / 'shipped'} is not a model" in ran.err) == (1, True), ran.err


def test_the_library_knows_the_name(empty: Path, picture: Path) -> None:
    import edgecat

    found = edgecat.classify(picture, "shipped", backend="onnxruntime")
    assert found[0].served_by is not None
    assert found[0].served_by.file in SHIPPED_FILES


def test_commands_take_the_default_model(cli: Cli, run: Path, album: Path) -> None:
    assert json.loads(cli("evaluate", album, "--json").out)["model"] == str(run)
    pairs = json.loads(cli("verify", "--json").out)["pairs"]
    assert {pair["candidate"] for pair in pairs} == {str(run)}
    (measured,) = json.loads(cli("benchmark", "--seconds", "0.1", "--json").out)
    assert measured["backend"]
    ran = cli("compress", "--keep", "0.5", "--json")
    assert json.loads(ran.out)["output"] == str(run.with_name("vgg16.pruned.safetensors"))


def test_verify_proves_every_form_of_the_shipped_model(cli: Cli, empty: Path) -> None:
    ran = cli("verify", "--json")
    pairs = json.loads(ran.out)["pairs"]
    assert ran.code == 0, ran.out
    assert {pair["reference"] for pair in pairs} == {str(CHECKPOINT)}
    assert {pair["candidate"] for pair in pairs} == SHIPPED_FILES


def test_the_shipped_model_is_never_overwritten(cli: Cli, empty: Path, album: Path) -> None:
    before = CHECKPOINT.read_bytes()
    ran = cli("evaluate", "shipped", "--calibrate", album)
    assert (ran.code, "--output" in ran.err) == (1, True)
    assert CHECKPOINT.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("export", "--imgsz", "320"), "no such option --imgsz; in edgecat this is --size"),
        (("export", "--half"), "in edgecat this is --precision fp16"),
        (("classify", "x.png", "--half"), "edgecat export --precision sets it"),
        (("classify", "x.png", "--weights", "y.onnx"), "in edgecat this is --model"),
        (("classify", "--source", "x.png"), "these are arguments"),
        (("train", "photos", "--imgsz", "96"), "in edgecat this is --size"),
        (("camera", "--conf", "0.5"), "in edgecat this is --enter"),
        (("data", "check", "x", "--weights", "y.onnx"), "in edgecat this is --model"),
        (("deepvis", "top", "x", "--network", "y"), "in edgecat this is --model"),
    ],
)
def test_options_of_other_tools_are_explained(cli: Cli, words: tuple[str, ...], hint: str) -> None:
    ran = cli(*words)
    assert ran.code == 2
    assert hint in " ".join(ran.err.split())


def test_an_option_of_no_tool_stays_unknown(cli: Cli) -> None:
    ran = cli("classify", "x.png", "--sauce")
    assert (ran.code, "--sauce" in ran.err, "in edgecat" in ran.err) == (2, True, False)


@pytest.mark.parametrize(
    "words", [("classify",), ("train",), ("evaluate",), ("explain",), ("data", "check")]
)
def test_a_missing_argument_is_a_usage_error(cli: Cli, words: tuple[str, ...], empty: Path) -> None:
    ran = cli(*words)
    assert (ran.code, ran.out) == (2, "")
    assert "Usage: " in ran.err


def test_predict_is_classify(cli: Cli, exported: Path, picture: Path) -> None:
    words = (picture, "--model", exported, "--json")
    assert cli("predict", *words).out == cli("classify", *words).out


class _Standard:
    """A standard input with these bytes."""

    def __init__(self, data: bytes, *, terminal: bool = False) -> None:
        self.buffer, self._terminal = io.BytesIO(data), terminal

    def isatty(self) -> bool:
        return self._terminal


def test_an_image_comes_from_standard_input(
    cli: Cli, exported: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (filed,) = json.loads(cli("classify", picture, "--model", exported, "--json").out)
    monkeypatch.setattr(sys, "stdin", _Standard(picture.read_bytes()))
    (piped,) = json.loads(cli("classify", "-", "--model", exported, "--json").out)
    assert piped == {**filed, "source": "-"}
    monkeypatch.setattr(sys, "stdin", _Standard(b"no image"))
    ran = cli("classify", "-", "--model", exported)
    assert (ran.code, "standard input" in ran.err) == (1, True)
    monkeypatch.setattr(sys, "stdin", _Standard(b"", terminal=True))
    ran = cli("classify", "-", "--model", exported)
    assert (ran.code, "is the terminal" in ran.err) == (1, True)


def test_predictions_in_other_formats(cli: Cli, exported: Path, album: Path) -> None:
    words = ("classify", album / "cat", "--model", exported, "--backend", "onnxruntime")
    listed = json.loads(cli(*words, "--json").out)
    assert [json.loads(line) for line in cli(*words, "--jsonl").out.splitlines()] == listed
    rows = list(csv.DictReader(io.StringIO(cli(*words, "--csv").out)))
    assert [row["source"] for row in rows] == [item["source"] for item in listed]
    assert list(rows[0]) == ["source", "label", "confidence", "cat", "dog"]
    assert all(
        float(row[name]) == item["probabilities"][name]
        for row, item in zip(rows, listed, strict=True)
        for name in ("cat", "dog")
    )
    ran = cli(*words, "--csv", "--json")
    assert (ran.code, "exclude one another" in ran.err) == (2, True)


def test_only_the_most_probable_classes(cli: Cli, exported: Path, picture: Path) -> None:
    words = ("classify", picture, "--model", exported, "--backend", "onnxruntime")
    (item,) = json.loads(cli(*words, "--top", "1", "--json").out)
    assert item["probabilities"] == {item["label"]: item["confidence"]}
    (row,) = csv.DictReader(io.StringIO(cli(*words, "--csv", "--top", "2").out))
    assert list(row) == [*("source", "label", "confidence", "label1", "share1", "label2", "share2")]
    assert (row["label1"], row["label2"]) in (("cat", "dog"), ("dog", "cat"))
    assert float(row["share1"]) >= float(row["share2"])
    text = cli(*words, "--top", "2").out
    assert text.startswith(f"{picture}  {item['label']} ")
    assert text.count("%") == 2
