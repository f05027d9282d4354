"""The kit that takes edgecat to a GPU machine without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

KIT = Path(__file__).parents[2] / "benchmarks" / "gpu_kit"
COUNT = 6


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:  # type: ignore[override]
    """Two tars of training pictures."""
    folder, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for number in range(2):
        pictures = folder / "pictures"
        for label in ("cat", "dog"):
            place = pictures / "train" / label
            place.mkdir(parents=True, exist_ok=True)
            for k in range(COUNT):
                image = random.integers(0, 256, (200 + 10 * k, 300, 3), np.uint8)
                cv2.imwrite(str(place / f"{number}-{k}.jpg"), image)
        with tarfile.open(folder / f"train-{number}.tar", "w") as tar:
            tar.add(pictures / "train", "train")
        shutil.rmtree(pictures)
    return folder


def python(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(KIT / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True)


def contents(folder: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for path in folder.glob("train-*.tar"):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.isfile():
                    found[f"{path.name}/{member.name}"] = tar.extractfile(member).read()  # type: ignore[union-attr]
    return found


def test_two_parts_become_the_same_tars(photos: Path, tmp_path: Path) -> None:
    parts = [tmp_path / "photos-a.tar.gz", tmp_path / "photos-b.tar.gz"]
    python("photos.py", "parts", photos, *parts)
    sizes = [part.stat().st_size for part in parts]
    assert max(sizes) < 1.3 * min(sizes)
    ran = python("assemble.py", tmp_path / "there", *parts)
    assert ran.stdout.startswith(f"{4 * COUNT} photos")
    assert contents(tmp_path / "there") == contents(photos)
    assert python("assemble.py", tmp_path / "there", *parts).stdout == "", "once is enough"


def test_the_parts_that_have_come_are_assembled(photos: Path, tmp_path: Path) -> None:
    parts = [tmp_path / "photos-a.tar.gz", tmp_path / "photos-b.tar.gz"]
    small = tmp_path / "photos-s.tar.gz"
    python("photos.py", "parts", photos, *parts)
    python("photos.py", "small", photos, small)
    there, every = tmp_path / "there", contents(photos)
    python("assemble.py", there, parts[0])
    one = contents(there)
    assert 0 < len(one) < len(every)
    assert one.items() <= every.items()
    python("assemble.py", there, parts[0], small)  # all of them, smaller, beat one part
    assert contents(there).keys() == every.keys()
    image = cv2.imdecode(np.frombuffer(next(iter(contents(there).values())), np.uint8), 1)
    assert min(image.shape[:2]) == 176
    python("assemble.py", there, *parts, small)
    assert contents(there) == every


def test_a_rehearsal_takes_a_few(photos: Path, tmp_path: Path) -> None:
    part = tmp_path / "photos-a.tar.gz"
    python("photos.py", "parts", photos, part)
    python("assemble.py", tmp_path / "there", part, "--limit", 8)
    assert len(contents(tmp_path / "there")) == 8


@pytest.mark.parametrize(
    ("seconds", "took", "expected"),
    [
        (100, ["2.0", "4.0"], "96:9,128:20 29"),
        (1, ["2.0", "4.0"], "96:1,128:2 3"),
        (1e6, ["0.1", "0.1"], "96:48,128:112 160"),
        (80, [], "96:3,128:7 10"),  # nothing is known: eight seconds
        (195, ["9.0"], "96:4,128:10 14"),  # the larger size as its pixels: 16 seconds
    ],
)
def test_epochs_are_planned_from_one_of_each_size(
    tmp_path: Path, seconds: float, took: list[str], expected: str
) -> None:
    metrics = tmp_path / "metrics.csv"
    metrics.write_text("epoch,seconds\n" + "".join(f"1,{each}\n" for each in took))
    missing = tmp_path / "missing.csv"
    ran = python("plan_epochs.py", seconds, metrics, missing, "--sizes", "96:0.3,128:0.7")
    assert ran.stdout.strip() == expected


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small repository with one big file."""
    if shutil.which("git") is None or shutil.which("bash") is None:
        pytest.skip("needs git and bash")
    folder = tmp_path / "checkout"
    (folder / "runtime").mkdir(parents=True)
    (folder / "runtime" / "code.py").write_text("x = 1\n")
    (folder / "big file.bin").write_bytes(bytes(2 << 20))
    (folder / ".gitignore").write_text("/.gpu/\n")
    person = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "."], [*person, "commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def pack(checkout: Path, *arguments: str, **environment: str) -> str:
    ran = subprocess.run(
        ["bash", str(KIT / "pack.sh"), *arguments],
        cwd=checkout,
        env={**os.environ, "PYTHON": sys.executable, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout


def test_big_files_are_hidden_and_come_back(checkout: Path) -> None:
    assert "hidden: big file.bin" in pack(checkout, "hide")
    assert not (checkout / "big file.bin").exists()
    assert "tree, uploaded by every call: 0.0 MiB" in pack(checkout, "kit")
    assert pack(checkout, "restore").strip() == "restored"
    status = subprocess.run(
        ["git", "status", "--short"], cwd=checkout, capture_output=True, text=True, check=True
    )
    assert status.stdout == ""


def test_what_is_packed_is_unpacked_and_steps_that_cannot_run_say_so(
    checkout: Path, photos: Path, tmp_path: Path
) -> None:
    pack(checkout, EDGECAT_PHOTOS=str(photos))
    with tarfile.open(checkout / ".gpu" / "kit" / "project.tar.gz") as project:
        assert "runtime/code.py" in project.getnames()
    tools = tmp_path / "work" / "edgecat" / "benchmarks" / "gpu_kit"
    tools.mkdir(parents=True)
    shutil.copy(KIT / "assemble.py", tools)  # the small repository has none
    ran = subprocess.run(
        ["bash", ".gpu/kit/remote.sh", "8", "info", "train", "probe", "nothing"],
        cwd=checkout,
        env={
            **os.environ,
            "PYTHON": sys.executable,
            "OUT": str(tmp_path / "out"),
            "REMOTE_WORK": str(tmp_path / "work"),
            "REMOTE_MEMORY": str(tmp_path / "memory"),
            "REMOTE_DRY": "1",
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert len(contents(tmp_path / "memory" / "photos")) == 4 * COUNT
    for line in (
        r"info            -     -  no time left",
        r"train           -     -  no time left",
        r"probe           -     -  TensorRT-RTX was not uploaded",
        r"nothing         -     -  unknown step",
    ):
        assert line in ran.stdout
    with tarfile.open(tmp_path / "out" / "results.tar.gz") as results:
        assert "logs/summary.txt" in results.getnames()


def test_the_scripts_are_bash() -> None:
    for script in KIT.glob("*.sh"):
        subprocess.run(["bash", "-n", str(script)], check=True)
