"""The log: silent unless asked for, on standard error, never on standard output."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., "object"]


@pytest.fixture
def picture(album: Path) -> Path:
    return album / "cat" / "0.png"


def test_nothing_is_logged_by_default(cli: Cli, exported: Path, picture: Path) -> None:
    ran = cli("classify", picture, "--engine", exported, "--json")
    assert (ran.code, ran.err) == (0, "")


@pytest.mark.parametrize("level", ["info", "INFO", "debug"])
def test_the_environment_shows_the_log(
    cli: Cli, exported: Path, picture: Path, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    monkeypatch.setenv("EDGECAT_LOG", level)
    ran = cli("classify", picture, "--engine", exported, "--json")
    assert ran.code == 0
    assert json.loads(ran.out)
    assert f"INFO edgecat_runtime: {exported.name} with " in ran.err
    monkeypatch.delenv("EDGECAT_LOG")
    assert cli("classify", picture, "--engine", exported, "--json").err == ""
    assert logging.getLogger("edgecat_runtime").level == logging.NOTSET


def test_verbose_says_once_which_backend_was_chosen(
    cli: Cli, exported: Path, picture: Path
) -> None:
    ran = cli("classify", picture, "--engine", exported, "--verbose", "--json")
    assert json.loads(ran.out)
    assert ran.err.count("self-test here (measured") == 1, ran.err


def test_a_level_hides_what_is_below_it(
    cli: Cli, exported: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGECAT_LOG", "warning")
    assert "INFO" not in cli("classify", picture, "--engine", exported).err


def test_a_bad_level_is_one_sentence(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECAT_LOG", "loud")
    ran = cli("inspect", "x.onnx")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "error: EDGECAT_LOG is 'loud'; expected debug, info, warning or error\n"
    assert cli("--help").code == 0


def test_a_camera_prints_a_warning_once(
    cli: Cli, exported: Path, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "0.png").write_bytes(b"no image")
    (tmp_path / "1.png").write_bytes((album / "cat" / "0.png").read_bytes())
    arguments = ("camera", "--source", tmp_path, "--engine", exported, "--headless")
    plain = cli(*arguments)
    assert plain.err.count("skipped: ") == 1, plain.err
    monkeypatch.setenv("EDGECAT_LOG", "warning")
    logged = cli(*arguments)
    assert logged.err.count("WARNING edgecat_runtime: skipped: ") == 1
    assert logged.err.count("skipped: ") == 1
