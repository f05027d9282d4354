"""What is promised about the three distributions, proved in clean virtual environments."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECTS = {
    "edgecat-runtime": ROOT / "runtime",
    "edgecat-export": ROOT / "export",
    "edgecat": ROOT,
}
EXPORTS = {
    "edgecat": [
        "BackendMissing",
        "BatchSummary",
        "CalibrationResult",
        "Camera",
        "Classifier",
        "DeviceError",
        "EdgecatError",
        "EngineOptions",
        "EvaluationResult",
        "ExportRequest",
        "ExportResult",
        "ForeignModel",
        "GateError",
        "ImagePrediction",
        "ModelCard",
        "Pipeline",
        "Prediction",
        "Predictions",
        "Reporter",
        "Terminal",
        "TrainConfig",
        "TrainResult",
        "UserError",
        "Verification",
        "Watcher",
        "Workers",
        "calibrate",
        "classify",
        "classify_to_parquet",
        "evaluate",
        "export",
        "read_card",
        "train",
        "verify",
    ],
    "edgecat_export": [],
    "edgecat_runtime": [
        "Answer",
        "BackendEntry",
        "BackendMissing",
        "CallbackSink",
        "Camera",
        "CardDamaged",
        "CardError",
        "CardMissing",
        "Classifier",
        "DeviceError",
        "EdgecatError",
        "Events",
        "Frame",
        "GateError",
        "ModelCard",
        "Mqtt",
        "Pipeline",
        "Prediction",
        "Recorder",
        "Shot",
        "Signal",
        "Sink",
        "Snapshots",
        "Source",
        "SourceOptions",
        "Status",
        "StatusEvent",
        "Summary",
        "Thresholds",
        "UserError",
        "WebPage",
        "Window",
        "open_output",
        "open_source",
        "read_card",
        "register_backend",
        "register_output",
        "register_source",
    ],
}
MOST_BYTES = 10_000_000


def test_the_three_versions_are_equal() -> None:
    stated = {name: _project(name)["version"] for name in PROJECTS}
    stated |= {name: importlib.import_module(name).__version__ for name in EXPORTS}
    assert len(set(stated.values())) == 1, stated


def test_make_benchmark_runs_the_first_three() -> None:
    page = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `.*?python benchmarks/(\w+)\.py", page, re.MULTILINE)
    assert sorted(listed) == sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py"))
    loop = re.search(r"for name in (.*?);.*benchmarks/", (ROOT / "Makefile").read_text())
    assert loop
    assert loop[1].split() == listed[:3]


def test_the_houses_ask_for_each_other_at_this_version() -> None:
    version = _project("edgecat")["version"]
    asked = [
        line
        for name in PROJECTS
        for group in (
            _project(name)["dependencies"],
            *_project(name)["optional-dependencies"].values(),
        )
        for line in group
        if line.startswith("edgecat") and not line.startswith("edgecat[")
    ]
    assert asked
    assert [line for line in asked if not line.endswith(f"=={version}")] == []


@pytest.mark.parametrize("name", EXPORTS)
def test_exported_names_are_held(name: str) -> None:
    module = importlib.import_module(name)
    assert list(getattr(module, "__all__", [])) == EXPORTS[name]
    assert EXPORTS[name] == sorted(EXPORTS[name])
    assert all(hasattr(module, exported) for exported in EXPORTS[name])


def test_every_dependency_is_pinned() -> None:
    """`constraints.txt` names each distribution that the three projects ask for."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.partition("==")[0] for line in lines if not line.startswith("#")}
    asked = {
        _bare(line)
        for name in PROJECTS
        for group in (
            _project(name)["dependencies"],
            *(
                lines
                for extra, lines in _project(name)["optional-dependencies"].items()
                if extra in ("train", "onnx", "headless", "report", "torch", "web", "metrics")
            ),
            _toml(PROJECTS[name]).get("dependency-groups", {}).get("dev", []),
        )
        for line in group
    }
    assert {name for name in asked if not name.startswith("edgecat")} - pinned == set()


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_cuda_bindings_release_the_interpreter_everywhere(python: str, machine: str) -> None:
    """Before 12.9.1, launching a graph held the interpreter's lock: a camera's thread stood still.

    There is one pin for each Python and machine, and it lies in the range for TensorRT.
    """
    here = {"python_version": python, "platform_machine": machine, "sys_platform": "linux"}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    (pin,) = _applying((line for line in lines if line.startswith("cuda-bindings")), here)
    extras = _project("edgecat-runtime")["optional-dependencies"]
    (asked,) = _applying(extras["tensorrt"], here)
    assert not asked.specifier.contains("12.9.0")
    assert asked.specifier.contains("12.9.1")
    assert next(iter(pin.specifier)).version in asked.specifier


def _applying(lines: Iterable[str], environment: dict[str, str]) -> list[Requirement]:
    found = [Requirement(line) for line in lines]
    return [r for r in found if r.marker is None or r.marker.evaluate(environment)]


def test_the_repository_holds_no_large_file() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False
    ).stdout
    if not listed:
        pytest.skip("not a git checkout")
    files = [ROOT / os.fsdecode(name) for name in listed.split(b"\0") if name]
    assert [f for f in files if f.is_file() and f.stat().st_size > MOST_BYTES] == []


def test_the_runtime_alone_brings_numpy_alone(tmp_path: Path) -> None:
    """And imports every one of its modules with nothing else installed."""
    python = _venv(tmp_path, [PROJECTS["edgecat-runtime"]])
    assert _installed(python) == {"edgecat-runtime", "numpy"}
    script = """
import importlib, pkgutil, sys
import edgecat_runtime
for found in pkgutil.walk_packages(edgecat_runtime.__path__, "edgecat_runtime."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
wrong = {"torch", "cv2", "onnx", "onnxruntime", "openvino", "tensorrt", "typer"} & set(sys.modules)
assert not wrong, wrong
print(len([m for n, m in sys.modules.items() if n.startswith("edgecat_runtime") and m.__spec__]))
"""
    modules = int(_run(python, "-c", script))
    assert modules == len(
        [
            path
            for path in (PROJECTS["edgecat-runtime"] / "edgecat_runtime").rglob("*.py")
            if path.name != "__main__.py"
        ]
    )


def test_without_extras_the_command_line_works_and_there_is_no_torch(
    tmp_path: Path, tiny_onnx: Path
) -> None:
    python = _venv(tmp_path, list(PROJECTS.values()))
    names = _installed(python)
    assert set(PROJECTS) <= names
    unwanted = {"torch", "onnx", "onnxruntime", "opencv-python-headless", "matplotlib"}
    assert names & unwanted == set()
    edgecat = python.with_name("edgecat")
    assert "camera" in _run(edgecat, "--help")
    assert '"architecture": "tiny"' in _run(edgecat, "inspect", str(tiny_onnx), "--json")
    answer = subprocess.run(
        [edgecat, "train", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 1
    assert "pip install" in answer.stderr
    assert "Traceback" not in answer.stderr


def _toml(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    return found


def _project(name: str) -> dict[str, Any]:
    found: dict[str, Any] = _toml(PROJECTS[name])["project"]
    return found


def _bare(requirement: str) -> str:
    """The distribution's name, as pip spells it."""
    for stop in "[<>=!~; ":
        requirement = requirement.partition(stop)[0]
    return requirement.lower().replace("_", "-")


def _venv(folder: Path, projects: Sequence[Path]) -> Path:
    """Make a virtual environment with projects in it, and nothing from here; returns its Python.

    The build backend is this environment's own: pip then fetches no more than the dependencies.
    """
    path = folder / "venv"
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(path)],
        check=True,
        capture_output=True,
    )
    python = path / "bin" / "python"
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    command = ["-m", "pip", "--python", str(python), "install", "--quiet", *constraints]
    answer = subprocess.run(
        [sys.executable, *command, *map(str, projects)],
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode and "onnection" in answer.stderr:
        pytest.skip(f"the package index cannot be reached: {answer.stderr.splitlines()[-1]}")
    assert answer.returncode == 0, answer.stderr
    return python


def _installed(python: Path) -> set[str]:
    script = (
        "from importlib.metadata import distributions\n"
        "print(*(d.name.lower().replace('_', '-') for d in distributions()))"
    )
    return set(_run(python, "-c", script).split())


def _run(program: Path, *arguments: str) -> str:
    """Run in a process that sees nothing of this environment, nor of the checkout."""
    keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        [str(program), *arguments],
        check=True,
        capture_output=True,
        text=True,
        cwd=program.parents[2],
        env=keep,
    ).stdout
