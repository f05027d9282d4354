"""`--config FILE`: a file gives options, the command line overrides them, mistakes are named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edgecat.models.checkpoint import load_checkpoint

Cli = Callable[..., "object"]
TINY = {
    "size": 32,
    "width": 0.02,
    "epochs": 1,
    "batch_size": 4,
    "val": 0.25,
    "threads": 1,
    "precision": "fp32",
    "device": "cpu",
}


def toml(values: dict[str, object]) -> str:
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


def test_a_runs_own_configuration_reproduces_it(cli: Cli, album: Path, tmp_path: Path) -> None:
    file = tmp_path / "tiny.toml"
    file.write_text(toml({**TINY, "data": [str(album)], "output": str(tmp_path), "seed": 7}))
    assert cli("train", "--config", file, "--name", "first").code == 0
    written = tmp_path / "first" / "config.json"
    ran = cli("train", "--config", written, "--name", "second")
    assert ran.code == 0, ran.err
    first, second = (load_checkpoint(tmp_path / name / "vgg16.safetensors")[0] for name in RUNS)
    other = dict(second.named_parameters())
    assert all(bool((weight == other[name]).all()) for name, weight in first.named_parameters())
    again = json.loads((tmp_path / "second" / "config.json").read_text())
    assert again == {**json.loads(written.read_text()), "name": "second"}


RUNS = ("first", "second")


def test_the_command_line_overrides_the_file(cli: Cli, album: Path, tmp_path: Path) -> None:
    file = tmp_path / "tiny.toml"
    given = {**TINY, "data": "nowhere", "batch-norm": False, "epochs": 9, "name": "", "teacher": ""}
    file.write_text(toml(given))
    ran = cli("train", album, "--config", file, "--output", tmp_path, "--name", "x", "--epochs", 1)
    assert ran.code == 0, ran.err
    config = json.loads((tmp_path / "x" / "config.json").read_text())
    assert config["data"] == [str(album)]
    assert (config["epochs"], config["batch_norm"], config["width"]) == (1, False, 0.02)
    assert config["teacher"] == ""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("epoch = 3", "unknown key 'epoch'; did you mean 'epochs'?"),
        ("qqq = 3", "unknown key 'qqq'; expected an option of `edgecat train --help`"),
        ("resume = 'runs/a'", "'resume' is only for the command line"),
        ("epochs = 'ten'", 'epochs is "ten"; expected a whole number from 1 to 100000'),
        ("epochs = 0", "epochs is 0; expected a whole number from 1 to 100000"),
        ("epochs = true", "epochs is true; expected a whole number"),
        ("epochs = 2.5", "epochs is 2.5; expected a whole number"),
        ("warmup = nan", "warmup is NaN; expected a number from 0 to 1"),
        ("seed = -1", "seed is -1; expected a whole number from 0 to 4294967295"),
        ("optimizer = 'sdg'", 'optimizer is "sdg"; expected gd, sgd, momentum,'),
        ("augment = 1", "augment is 1; expected true or false"),
        ("data = [[1]]", "data contains a list; expected a path, or a list of them"),
        ("[epochs]", "epochs is a table; expected a whole number"),
        ("epochs =", "is not valid TOML"),
    ],
)
def test_mistakes_of_a_training_file(cli: Cli, tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    ran = cli("train", "photos", "--config", file)
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1), ran.err
    assert str(file) in ran.err
    assert sentence in ran.err


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("list = true", "'list' is only for the command line"),
        ("stall = 0.1", "stall is 0.1; expected a number of at least 0.5"),
        ("fps = 1001", "fps is 1001; expected a number from 0 to 1000"),
        ("rotate = 45", "rotate is 45; expected 0, 90, 180 or 270"),
        ("flip = 'vertikal'", 'flip is "vertikal"; expected horizontal, vertical or both'),
        (
            "source = ['rtsp://a:secret@b', 1.5]",
            "source contains 1.5; expected a string, or a list",
        ),
        ("source = []", "source is empty; expected a string, or a list of them"),
        ("max-frames = 0", "max-frames is 0; expected a whole number of at least 1"),
    ],
)
def test_mistakes_of_a_camera_file(cli: Cli, tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    ran = cli("camera", "--config", file)
    assert (ran.code, ran.out) == (1, "")
    assert f"{file}: {sentence}" in ran.err
    assert "secret" not in ran.err


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.json", "[1]", "holds no options"),
        ("a.json", "{", "is not valid JSON"),
        ("a.json", '{"epochs": null}', "epochs is null; expected a whole number"),
        ("a.toml", "\udcff", "it is not UTF-8 text"),
        ("", "", "Is a directory. Give a file, such as"),
        ("missing.toml", None, "cannot read the configuration"),
    ],
)
def test_files_that_cannot_be_read(
    cli: Cli, tmp_path: Path, name: str, text: str | None, sentence: str
) -> None:
    if name and text is not None:
        (tmp_path / name).write_text(text, encoding="utf-8", errors="surrogateescape")
    ran = cli("train", "photos", "--config", tmp_path / name)
    assert ran.code == 1
    assert sentence in ran.err


def test_a_camera_takes_its_options_from_a_file(cli: Cli, exported: Path, tmp_path: Path) -> None:
    file = tmp_path / "porch.toml"
    given = {
        "source": "synthetic://pets",
        "rotate": 90,
        "roi": "0,0,0.5,0.5",
        "headless": True,
        "max-frames": 9,
        "engine": str(exported),
        "events": str(tmp_path / "events.jsonl"),
        "smooth": False,
        "json": True,
    }
    file.write_text(toml(given))
    ran = cli("camera", "--config", file, "--max-frames", 2)
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["frames"] == 2
    assert (tmp_path / "events.jsonl").exists()


def test_resume_takes_no_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.toml").touch()
    ran = cli("train", "--resume", tmp_path, "--config", tmp_path / "a.toml")
    assert (ran.code, "omit config" in ran.err) == (1, True)
