"""`edgecat train`, as a person meets it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgecat_runtime import read_card

Cli = Callable[..., "object"]
QUICK = [
    *("--size", 32, "--width", 0.02, "--epochs", 2, "--batch-size", 4),
    *("--val", 0.25, "--threads", 1, "--precision", "fp32", "--device", "cpu"),
]


def test_train_prints_epochs_and_leaves_a_run(cli: Cli, album: Path, tmp_path: Path) -> None:
    ran = cli("train", album, *QUICK, "--output", tmp_path, "--name", "mine")
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0].startswith("training on ")
    assert [line for line in lines if line.startswith("epoch   2/2  loss ")]
    assert "mine/vgg16.safetensors" in lines[-1]
    assert "% interval" in lines[-1]
    assert ran.err.count("\n") == 1
    assert "few training images" in ran.err
    files = {path.name for path in (tmp_path / "mine").iterdir()}
    assert {"vgg16.safetensors", "metrics.csv", "curves.png", "confusion.png"} <= files


def test_train_json_is_all_there_is_on_stdout(cli: Cli, album: Path, tmp_path: Path) -> None:
    ran = cli("train", album, *QUICK, "--output", tmp_path, "--json")
    figures = json.loads(ran.out)
    assert sorted(figures) == [
        *("accuracy", "best_epoch", "checkpoint", "epochs", "interval", "loss", "n", "skipped")
    ]
    card = read_card(figures["checkpoint"])
    assert (card.accuracy, card.accuracy_n) == (figures["accuracy"], figures["n"])


def test_train_writes_into_runs_by_default(
    cli: Cli, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = cli("train", album, *QUICK)
    assert ran.code == 0, ran.err
    (checkpoint,) = (tmp_path / "runs").glob("vgg16-*/vgg16.safetensors")
    assert read_card(checkpoint).labels == ("cat", "dog")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_names_the_way_on(
    album: Path, tmp_path: Path, number: int, code: int
) -> None:
    command = [
        *(sys.executable, "-c", "from edgecat.cli import main; main()", "train", str(album)),
        *(str(option) for option in QUICK),
        *("--output", str(tmp_path), "--name", "cut", "--epochs", "10000"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    table = tmp_path / "cut" / "metrics.csv"
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if table.exists() and len(table.read_text().splitlines()) > 2:
            process.send_signal(number)
            break
        time.sleep(0.05)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert f"edgecat train --resume {tmp_path / 'cut'}" in err
    assert "Traceback" not in err + out
    assert "error: interrupted" not in err, "it was told already"
    assert read_card(tmp_path / "cut" / "vgg16.safetensors").accuracy is not None
    assert (tmp_path / "cut" / "resume.state").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["missing"], "missing does not exist"),
        (["ALBUM", "--arch", "vgg99"], "unknown architecture 'vgg99'; expected one of alexnet"),
        (["ALBUM", "--size", "16"], "--size is 16; expected 32 to 1024"),
        (["ALBUM", "--head", "none"], "head is 'none'; expected one of dense, gap"),
        (["ALBUM", "--device", "toaster"], "--device is 'toaster'"),
        (["ALBUM", "--name", "taken"], "taken exists. Choose another --name"),
        (["ALBUM", "--output", "file"], "is a file"),
        (["ALBUM", "--optimizer", "sgdm"], "optimizer is 'sgdm'; expected one of gd, sgd"),
        (["ALBUM", "--teacher", "nowhere.safetensors"], "nowhere.safetensors"),
        (["--resume", "taken", "--find-lr"], "omit find_lr"),
        (["--resume", "nowhere"], "nowhere is not a run of edgecat train"),
        (["--resume", "taken", "--epochs", "3"], "omit epochs"),
    ],
)
def test_train_mistakes(
    cli: Cli,
    album: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    sentence: str,
) -> None:
    (tmp_path / "runs" / "taken").mkdir(parents=True)
    (tmp_path / "runs" / "taken" / "notes.txt").touch()
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    ran = cli("train", *(str(album) if a == "ALBUM" else a for a in arguments))
    assert (ran.code, ran.out) == (1, "")
    assert sentence in ran.err
    assert ran.err.count("\n") == 1


def test_train_names_what_it_skips(cli: Cli, album: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    shutil.copytree(album, pictures)
    (pictures / "cat" / "torn.jpg").write_bytes(b"\xff\xd8\xff torn")
    ran = cli("train", pictures, *QUICK, "--output", tmp_path)
    assert ran.code == 0, ran.err
    assert ran.err.count("torn.jpg") == 1
    assert "1 file was skipped" in ran.out


def test_what_is_left_out_is_counted_once(cli: Cli, album: Path, tmp_path: Path) -> None:
    """Files that are no pictures are known before training, torn pictures only in it."""
    pictures = tmp_path / "pictures"
    shutil.copytree(album, pictures)
    (pictures / "cat" / "torn.jpg").write_bytes(b"\xff\xd8\xff torn")
    (pictures / "cat" / "notes.txt").write_text("no picture")
    ran = cli("train", pictures, *QUICK, "--output", tmp_path)
    assert ran.out.count("file skipped") == 1
    assert "2 files were skipped" in ran.out
    ran = cli("train", pictures, *QUICK, "--output", tmp_path, "--name", "again", "--json")
    assert json.loads(ran.out)["skipped"] == ran.err.count("skipped: ") == 2


@pytest.mark.parametrize(
    ("load", "threads", "lines"), [(1.9, 2, 0), (2.1, 2, 1), (2.1, 1, 0), (None, 2, 0)]
)
def test_busy_cores_are_told_of(
    cli: Cli,
    album: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    load: float | None,
    threads: int,
    lines: int,
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    if load is None:
        monkeypatch.delattr(os, "getloadavg", raising=False)
    else:
        monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0), raising=False)
    options = [*QUICK, "--epochs", 1, "--threads", threads]
    ran = cli("train", album, *options, "--output", tmp_path)
    assert ran.code == 0, ran.err
    assert ran.err.count("load average") == lines
    assert ("the load average of the last minute is 2.1 on 4 cores" in ran.err) == bool(lines)
    assert ("--threads 1 helps" in ran.err) == bool(lines)


def test_a_heap_of_other_files_is_summed_up(cli: Cli, album: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    shutil.copytree(album, pictures)
    for i in range(13):
        (pictures / "cat" / f"notes{i}.txt").write_text("no picture")
    ran = cli("train", pictures, *QUICK, "--output", tmp_path)
    assert ran.code == 0, ran.err
    assert ran.err.count("is not an image") == 10
    assert "skipped: 3 more files that are not images" in ran.err


def test_find_lr_suggests_a_rate_and_trains_nothing(
    cli: Cli, stripes: Path, tmp_path: Path
) -> None:
    options = [*QUICK, "--batch-size", 12, "--output", tmp_path, "--name", "rates", "--find-lr"]
    ran = cli("train", stripes, *options, "--optimizer", "adamw", "--json")
    assert ran.code == 0, ran.err
    figures = json.loads(ran.out)
    assert 1e-6 < figures["learning_rate"] < 0.1
    assert {path.name for path in (tmp_path / "rates").iterdir()} == {"rates.csv", "rates.png"}
    table = (tmp_path / "rates" / "rates.csv").read_text().splitlines()
    assert len(table) == figures["steps"] + 1
    ran = cli("train", stripes, *options)
    assert ran.code == 1
    assert "rates exists" in ran.err


def test_find_lr_that_fails_leaves_nothing(cli: Cli, tmp_path: Path) -> None:
    ran = cli("train", tmp_path / "missing", "--find-lr", "--output", tmp_path / "runs")
    assert (ran.code, ran.out) == (1, "")
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())
