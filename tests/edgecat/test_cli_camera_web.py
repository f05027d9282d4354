"""`edgecat camera --web`: where it serves, and what it refuses."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="the web page needs aiohttp")

Cli = Callable[..., Any]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--web", "here"], r"--web is 'here'; expected \[HOST:\]PORT"),
        (["--web", "192.0.2.1:0"], "cannot serve at 192.0.2.1:0"),
        (["--web-control"], "Add --web 8080"),
        (["--web-name", "cam.example"], "Add --web 8080"),
        (["--web", "0", "--web-name", "https://cam"], "--web-name is 'https://cam'; expected a"),
        (["--web", "0", "--web-source", "1"], "Add --web-control"),
    ],
)
def test_what_cannot_be_served_is_said(
    cli: Cli, tiny_onnx: Path, options: list[str], sentence: str
) -> None:
    ran = cli(
        "camera", "--headless", "--source", "synthetic://pets", "--engine", tiny_onnx, *options
    )
    assert ran.code == 1
    assert re.search(sentence, ran.err)
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("host", ["", "0.0.0.0:"])
def test_the_page_is_served_until_the_command_is_stopped(tiny_onnx: Path, host: str) -> None:
    command = [sys.executable, "-m", "edgecat", "camera", "--headless", "--json"]
    command += ["--source", "synthetic://pets", "--engine", str(tiny_onnx), "--web", f"{host}0"]
    environment = {k: v for k, v in os.environ.items() if k != "EDGECAT_WEB_TOKEN"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        match = re.fullmatch(r"web page: http://[^/]+:(\d+)/(?:\?token=([\w-]+))?\n", said)
        assert match is not None, said
        port, token = match.groups()
        assert (token is None) == (host == "")
        request = urllib.request.Request(f"http://127.0.0.1:{port}/api/status")
        if token is not None:
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(request, timeout=60)
            request.add_header("Authorization", f"Bearer {token}")
        with urllib.request.urlopen(request, timeout=60) as answer:
            status = json.load(answer)
        assert status["cameras"][0]["source"].startswith("synthetic://pets")
        assert status["engine"]["architecture"] == "tiny"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert json.loads(out)["frames"] >= 0
    assert (token or "no token") not in out + err  # said once
