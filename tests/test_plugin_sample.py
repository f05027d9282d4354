"""The sample plug-in: built and installed as any package is, and used through the command line."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "samples" / "plugin"
MODULES = sorted((SAMPLE / "edgecat_sample").glob("*.py"))

Ran = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample in a folder of its own, put there by pip from what hatchling built."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed, which builds the sample: make test installs it")
    target = tmp_path_factory.mktemp("site")
    command = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--target", str(target), str(SAMPLE)]
    ran = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return target


@pytest.fixture
def edgecat(installed: Path) -> Callable[..., Ran]:
    """`edgecat(*words)` in a process that sees the sample."""

    def run(*words: str | Path) -> Ran:
        path = os.pathsep.join(filter(None, [str(installed), os.environ.get("PYTHONPATH")]))
        return subprocess.run(
            [sys.executable, "-m", "edgecat", *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PYTHONPATH": path},
        )

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images, one of which is there twice, and one that cannot be decoded."""
    folder = tmp_path / "incoming"
    folder.mkdir()
    for name, level in (("a", 20), ("b", 230), ("c", 20)):
        cv2.imwrite(str(folder / f"{name}.png"), np.full((40, 50, 3), level, np.uint8))
    (folder / "broken.jpg").write_bytes(b"not an image")
    return folder


def test_all_three_serve_one_camera(
    edgecat: Callable[..., Ran], folder: Path, tiny_onnx: Path, tmp_path: Path
) -> None:
    rows = tmp_path / "labels.csv"
    ran = edgecat(
        *(
            "camera",
            "--source",
            f"hotfolder:{folder}",
            "--backend",
            "memo",
            "--sink",
            f"csv:{rows}",
        ),
        *("--engine", tiny_onnx, "--max-frames", "3", "--headless", "--json"),
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["frames"] == 3
    with rows.open(newline="") as file:
        written = list(csv.DictReader(file))
    assert written[0]["image"] == "a.png"
    assert {row["label"] for row in written} <= {"cat", "dog"}
    assert all(row["source"] == f"hot folder {folder}" for row in written)


def test_the_backend_answers_as_the_one_that_it_wraps(
    edgecat: Callable[..., Ran], folder: Path, tiny_onnx: Path
) -> None:
    (folder / "broken.jpg").unlink()
    wanted, got = (
        edgecat("classify", folder, "--engine", tiny_onnx, "--backend", name, "--json")
        for name in ("onnxruntime", "memo")
    )
    assert got.returncode == 0, got.stderr
    answers = [json.loads(ran.stdout) for ran in (got, wanted)]
    served = [[item.pop("served_by")["backend"] for item in items] for items in answers]
    assert set(served[0]) == {"memo"}
    assert set(served[1]) == {"onnxruntime"}
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--source", "hotfolder:nowhere"], "nowhere is not a folder; expected hotfolder:DIR"),
        (["--source", "hotfolder:.", "--fps", "3"], "a hot folder does not support --fps"),
        (["--source", "hotfolder:.", "--sink", "csv"], "output csv has no argument"),
        (["--source", "hotfolder:.", "--sink", "csv:no/where.csv"], "cannot write no/where.csv"),
        (["--source", "hotfolder:.", "--sink", "xml:x"], "with one of csv, events, "),
        (["--source", "hotfolders:."], "hotfolder:..."),
        (["--source", "hotfolder:.", "--backend", "mem"], "opencv, memo"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    edgecat: Callable[..., Ran], tiny_onnx: Path, words: list[str], sentence: str
) -> None:
    ran = edgecat("camera", "--headless", "--engine", tiny_onnx, *words)
    assert ran.returncode == 1
    assert sentence in ran.stderr
    assert ran.stderr.startswith("error: ")
    assert len(ran.stderr.splitlines()) == 1


def test_they_are_listed(edgecat: Callable[..., Ran]) -> None:
    listed = json.loads(edgecat("camera", "--list", "--json").stdout)["sources"]
    assert {"source": "hotfolder:...", "works": True, "reason": ""} in listed


def test_the_modules_are_short() -> None:
    lengths = {path.name: len(path.read_text("utf-8").splitlines()) for path in MODULES}
    assert len(lengths) == 4
    assert {name: length for name, length in lengths.items() if length >= 50} == {}
