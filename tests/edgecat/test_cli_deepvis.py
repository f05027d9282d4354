"""`edgecat deepvis`: what it refuses, and that it serves its panel until it is stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (["--headless"], 1, "and no web page. Add --web 8080"),
        (
            ["--headless", "--web", "0", "--source", "/no/film.mp4"],
            1,
            "source /no/film.mp4 does not exist",
        ),
        (["--headless", "--web", "0", "--pictures", "/no"], 1, "--pictures /no contains no images"),
        (["--headless", "--web", "0", "--source", "EMPTY"], 1, "contains no images"),
        (["--headless", "--web", "0", "--source", ""], 1, "--source is empty"),
        (["--headless", "--web", "here"], 1, "--web is 'here'"),
        (["--web-control", "--headless"], 1, "Add --web 8080"),
        (
            ["--headless", "--web", "0", "--engine", "ONNX"],
            1,
            "is an exported model and cannot be inspected",
        ),
        (["--headless", "--web", "0", "--engine", "/no.safetensors"], 1, "/no.safetensors"),
        (["--headless", "--web", "0", "--roi", "9"], 1, "--roi is '9'"),
        (["--no-such-option"], 2, "No such option"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_sentence(
    cli: Cli,
    tmp_path: Path,
    checkpoint: Path,
    exported: Path,
    options: list[str],
    code: int,
    sentence: str,
) -> None:
    (tmp_path / "empty").mkdir()
    names = {"EMPTY": str(tmp_path / "empty"), "ONNX": str(exported)}
    arguments = [names.get(option, option) for option in options]
    if "--engine" not in arguments:
        arguments += ["--engine", str(checkpoint)]
    ran = cli("deepvis", *arguments)
    assert ran.code == code, ran.err
    assert sentence in ran.err
    assert "Traceback" not in ran.err


def test_the_panel_is_served_until_the_command_is_stopped(checkpoint: Path, album: Path) -> None:
    pytest.importorskip("aiohttp", reason="the web page needs aiohttp")
    command = [sys.executable, "-m", "edgecat", "deepvis", "--headless", "--web", "0"]
    command += ["--source", str(album), "--engine", str(checkpoint)]
    environment = {k: v for k, v in os.environ.items() if k != "EDGECAT_WEB_TOKEN"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        match = re.fullmatch(r"web page: (http://[^/]+:\d+)/\n", process.stderr.readline())
        assert match is not None
        for action, lit in (("status", {"about", "top", "still"}), ("heat", {"heat"})):
            request = urllib.request.Request(
                f"{match[1]}/panels/deepvis/{action}", b"{}", {"Origin": match[1]}
            )
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert lit <= set(json.load(answer)["lit"])
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert re.search(r"\d frames? in", out)
    assert "Traceback" not in err
