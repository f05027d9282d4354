"""Batch classification: whatever is killed in the middle costs nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import cv2
import numpy as np
import pytest

from edgecat.workflows.batch.classify import classify_to_parquet
from edgecat.workflows.batch.placement import Workers
from edgecat.workflows.batch.tasks import images_per_part

parquet = pytest.importorskip(
    "pyarrow.parquet", reason="pyarrow is not installed: pip install 'edgecat[parquet]'"
)

PATIENCE = 120.0
TIMES = 100  # that the folder is given, so that a run is long enough to be killed
BACKEND = ("--backend", "onnxruntime")  # else the fastest, which may differ between runs


def draw(folder: Path, count: int, seed: int = 0) -> Path:
    """Write small noise images `00.png`, `01.png`, ...; each differs."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for i in range(count):
        cv2.imwrite(str(folder / f"{i:02}.png"), rng.integers(0, 256, (40, 50, 3), np.uint8))
    return folder


@contextmanager
def command(
    *arguments: object, plugin: Path | None = None, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """Run `edgecat ARGS...` in a process of its own; it is ended with the context."""
    path = os.pathsep.join(filter(None, [str(plugin or ""), *sys.path]))
    process = subprocess.Popen(
        [sys.executable, "-m", "edgecat", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path, **environment},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def summary(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The JSON of a command that has to succeed."""
    code, out, err = finished(process)
    assert code == 0, err
    value: dict[str, Any] = json.loads(out)
    return value


def wait_for_parts(output: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Wait until a run has written some parts and is still at work."""
    folder, end = output.with_name(output.name + ".partial"), monotonic() + PATIENCE
    while len(list(folder.glob("part-*.parquet"))) < count:
        assert process.poll() is None, f"it ended before: {process.communicate()}"
        assert monotonic() < end, "no parts appear"
        sleep(0.005)


def children_of(pid: int) -> list[int]:
    """Process ids of the workers that a process has started."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            status = (place / "stat").read_text().rpartition(")")[2].split()
            line = (place / "cmdline").read_bytes()
        except OSError:
            continue
        if int(status[1]) == pid and b"edgecat.workflows.batch" in line:
            found.append(int(place.name))
    return sorted(found)


def is_running(pid: int) -> bool:
    """Whether a process exists and is not just waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(pids: Sequence[int]) -> None:
    """Wait until processes have ended."""
    end = monotonic() + PATIENCE
    while any(map(is_running, pids)):
        assert monotonic() < end, "they are still running"
        sleep(0.02)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty images; the run reads them again and again."""
    return draw(tmp_path_factory.mktemp("photos") / "p", 20)


@pytest.fixture(scope="module")
def expected(photos: Path, exported: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The output of an undisturbed run with one worker."""
    output = tmp_path_factory.mktemp("expected") / "o.parquet"
    workers = Workers(count=1, batch=4)
    classify_to_parquet([photos] * TIMES, output, exported, workers=workers, backend=BACKEND[1])
    return output.read_bytes()


def arguments(photos: Path, output: Path, exported: Path, *more: object) -> list[object]:
    """A long run in batches of four."""
    chosen = ("--output", output, "--model", exported, "--batch", 4, *BACKEND, "--json", *more)
    return ["classify", *[photos] * TIMES, *chosen]


def test_a_killed_worker_costs_nothing(
    photos: Path, exported: Path, expected: bytes, tmp_path: Path
) -> None:
    """There is one at a time: of two, the killed one might be starting yet, without images."""
    output = tmp_path / "o.parquet"
    with command(*arguments(photos, output, exported, "--workers", 1)) as process:
        wait_for_parts(output, 2, process)
        process.send_signal(signal.SIGSTOP)  # so that it does not end meanwhile
        os.kill(children_of(process.pid)[0], signal.SIGKILL)
        process.send_signal(signal.SIGCONT)
        code, out, err = finished(process)
    assert code == 0, err
    assert "a local process ended (SIGKILL); its images go to another one" in err
    assert json.loads(out)["lost"] == 1
    assert output.read_bytes() == expected


def test_a_killed_run_continues(
    photos: Path, exported: Path, expected: bytes, tmp_path: Path
) -> None:
    output = tmp_path / "o.parquet"
    with command(*arguments(photos, output, exported, "--workers", 2)) as process:
        wait_for_parts(output, 3, process)
        process.send_signal(signal.SIGSTOP)
        workers = children_of(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait_until_gone(workers)
    assert len(workers) == 2
    assert not output.exists()
    kept = sorted(output.with_name("o.parquet.partial").glob("part-*"))
    kept[0].write_bytes(kept[0].read_bytes()[:100])  # damaged: classified again
    with command(*arguments(photos, output, exported, "--workers", 1)) as process:
        values = summary(process)
    assert values["resumed"] == (len(kept) - 1) * images_per_part(20 * TIMES, 4)
    assert output.read_bytes() == expected
    assert not output.with_name("o.parquet.partial").exists()


def test_an_interrupted_run_says_how_to_continue(
    photos: Path, exported: Path, tmp_path: Path
) -> None:
    output = tmp_path / "o.parquet"
    with command(*arguments(photos, output, exported, "--workers", 2)) as process:
        wait_for_parts(output, 1, process)
        process.send_signal(signal.SIGSTOP)  # so that it does not end meanwhile
        workers = children_of(process.pid)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGCONT)
        code, _, err = finished(process)
    assert code == 130, err
    assert f"the results so far are in {output}.partial; the same command continues there" in err
    assert "Traceback" not in err
    wait_until_gone(workers)


def test_results_of_another_run_are_kept(photos: Path, exported: Path, tmp_path: Path) -> None:
    output = tmp_path / "o.parquet"
    with command(*arguments(photos, output, exported, "--workers", 1)) as process:
        wait_for_parts(output, 1, process)
        process.send_signal(signal.SIGSTOP)  # and so it holds the folder until it is killed
        with command(*arguments(photos, output, exported)) as second:
            code, _, err = finished(second)
    assert (code, f"another process is writing to {output}.partial" in err) == (1, True), err
    with command("classify", photos, "--output", output, "--model", exported) as process:
        code, _, err = finished(process)
    assert code == 1
    assert f"the number of images: {20 * TIMES} then, 20 now" in err
    assert "the list of images" in err
    with command(*arguments(photos, output, exported, "--batch", 8)) as process:
        code, _, err = finished(process)
    assert (code, "the batch size: 4 then, 8 now" in err) == (1, True)
    assert list(output.with_name("o.parquet.partial").glob("part-*"))


DEADLY = '''
"""A backend that dies of a frame whose first pixel is white, as a broken decoder would."""
import os
import signal
from edgecat_runtime import BackendEntry
from edgecat_runtime.backends.onnxruntime import OnnxRuntimeBackend

class Deadly(OnnxRuntimeBackend):
    name = "deadly"

    def infer(self, frames):
        if (frames[:, 0, 0] == 255).all(axis=1).any():
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().infer(frames)

DEADLY = BackendEntry(
    "deadly", "cpu", (".onnx",), "onnxruntime",
    lambda path, card, threads: Deadly(path, threads=threads),
)
'''


@pytest.fixture
def deadly(tmp_path: Path) -> Path:
    """A folder with a plug-in, as pip installs it: the backend `deadly`."""
    info = tmp_path / "plugin" / "deadly-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: deadly\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edgecat.backends]\ndeadly = deadly:DEADLY\n")
    (info.parent / "deadly.py").write_text(DEADLY)
    return info.parent


def test_an_image_that_kills_its_worker_becomes_a_row(
    exported: Path, deadly: Path, tmp_path: Path
) -> None:
    folder = draw(tmp_path / "photos", 12)
    white = np.full((40, 50, 3), 255, np.uint8)
    for name in ("05", "06", "11"):
        cv2.imwrite(str(folder / f"{name}.png"), white)
    output = tmp_path / "o.parquet"
    chosen = ("--model", exported, "--backend", "deadly", "--batch", 6, "--workers", 2)
    with command(
        *("classify", folder, "--output", output, *chosen, "--json"), plugin=deadly
    ) as process:
        values = summary(process)
    rows = parquet.read_table(output).to_pylist()
    assert [i for i, row in enumerate(rows) if row["error"]] == [5, 6, 11]
    assert rows[5]["error"] == (
        f"{folder}/05.png ends the process that classifies it, even alone (SIGSEGV); expected an "
        "image"
    )
    assert values["failed"] == 3
    assert all(row["label"] in ("cat", "dog") for row in rows if not row["error"])


def test_workers_that_all_die_end_the_run(exported: Path, deadly: Path, tmp_path: Path) -> None:
    folder = draw(tmp_path / "photos", 1)
    white = np.full((40, 50, 3), 255, np.uint8)
    for i in range(40):
        cv2.imwrite(str(folder / f"{i:02}.png"), white)
    chosen = ("--model", exported, "--backend", "deadly", "--batch", 1, "--workers", 2)
    output = tmp_path / "o.parquet"
    with command("classify", folder, "--output", output, *chosen, plugin=deadly) as process:
        code, _, err = finished(process)
    assert code == 4, err
    assert "12 workers ended one after another (SIGSEGV), the last one with " in err
    assert "Traceback" not in err


def test_a_full_disk(photos: Path, exported: Path, full_disk: Path) -> None:
    (full_disk / "filler").write_bytes(bytes(940_000))
    with command(*arguments(photos, full_disk / "o.parquet", exported)) as process:
        code, _, err = finished(process)
    assert code == 1
    assert "the disk is full. Free some space" in err
    assert "Traceback" not in err
    (full_disk / "filler").unlink()
    with command(*arguments(photos, full_disk / "o.parquet", exported)) as process:
        assert summary(process)["resumed"] > 0
