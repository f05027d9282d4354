"""What is released: distributions that work in a clean environment, and the tools for it."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from edgecat.pets.synthetic import draw_pet

ROOT = Path(__file__).parents[1]
RELEASE = runpy.run_path(str(ROOT / "tools" / "release.py"))
TORCH_BUILD = runpy.run_path(str(ROOT / "tools" / "torch_build.py"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The six files of a release, by name without the version."""
    pytest.importorskip("hatchling", reason="the build backend is not installed")
    files = RELEASE["build"](ROOT, tmp_path_factory.mktemp("dist"))
    assert len(files) == 6
    return {path.name.split("-")[0] + path.suffix: path for path in files}


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("edgecat_runtime", "runtime/edgecat_runtime"),
        ("edgecat_export", "export/edgecat_export"),
        ("edgecat", "edgecat"),
    ],
)
def test_a_wheel_has_every_file_of_its_package_and_nothing_else(
    built: dict[str, Path], name: str, folder: str
) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    if not listed:
        pytest.skip("not a git checkout")
    present = {path for path in listed if (ROOT / path).exists()}
    expected = {path.removeprefix("runtime/").removeprefix("export/") for path in present}
    with zipfile.ZipFile(built[f"{name}.whl"]) as wheel:
        found = {item for item in wheel.namelist() if ".dist-info/" not in item}
        rest = {Path(item).name for item in wheel.namelist() if ".dist-info/" in item}
    assert found == expected
    assert "LICENSE" in rest


@pytest.mark.parametrize("name", ["edgecat_runtime", "edgecat_export", "edgecat"])
def test_a_source_distribution_builds_the_same_wheel(
    built: dict[str, Path], tmp_path: Path, name: str
) -> None:
    with tarfile.open(built[f"{name}.gz"]) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (again,) = tmp_path.glob("*.whl")
    assert again.read_bytes() == built[f"{name}.whl"].read_bytes()


def test_the_licence_is_the_same_in_all_three() -> None:
    text = (ROOT / "LICENSE").read_bytes()
    assert [(ROOT / name / "LICENSE").read_bytes() for name in ("runtime", "export")] == [text] * 2


def test_the_wheels_classify_in_a_clean_environment_without_torch(
    built: dict[str, Path], tmp_path: Path
) -> None:
    python = clean_environment(
        tmp_path,
        f"edgecat-runtime[onnx,headless] @ {built['edgecat_runtime.whl'].as_uri()}",
        f"edgecat-export @ {built['edgecat_export.whl'].as_uri()}",
        f"edgecat @ {built['edgecat.whl'].as_uri()}",
    )
    for species, label in enumerate(("cat", "dog")):
        cv2.imwrite(str(tmp_path / f"{label}.png"), draw_pet(PETS[label], species, 256)[0])
    script = (
        "import importlib.util as found, sys, edgecat\n"
        "assert found.find_spec('torch') is None\n"
        "assert '/venv/' in edgecat.__file__, edgecat.__file__\n"
        "print(*(edgecat.classify(name)[0].label for name in sys.argv[1:]))"
    )
    assert run(python, "-c", script, "cat.png", "dog.png").split() == ["cat", "dog"]
    program = python.with_name("edgecat")
    answer = json.loads(run(program, "classify", "cat.png", "--json"))[0]
    assert (answer["label"], answer["served_by"]["backend"]) == ("cat", "onnxruntime")


PETS = {"cat": 0, "dog": 0}
"""Seeds of drawings that the shipped model, which was trained on photographs, names rightly."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of everything that states a version, with a changelog for it."""
    for folder in RELEASE["PACKAGES"].values():
        (tmp_path / folder).mkdir(exist_ok=True)
        shutil.copy(ROOT / folder / "pyproject.toml", tmp_path / folder)
    for path in ROOT.glob("*/edgecat_*/_version.py"):
        (tmp_path / path.relative_to(ROOT)).parent.mkdir(parents=True)
        shutil.copy(path, tmp_path / path.relative_to(ROOT))
    number = RELEASE["version"](ROOT)
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## {number} (2026-01-31)\n\n- New.\n")
    return tmp_path


def replaced(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (lambda p: None, None),
        (
            lambda p: replaced(p / "runtime/pyproject.toml", 'version = "', 'version = "9'),
            "runtime/pyproject.toml has version 9",
        ),
        (
            lambda p: replaced(p / "pyproject.toml", "edgecat-export==", "edgecat-export==9"),
            "asks for edgecat-export==9",
        ),
        (
            lambda p: (p / "runtime/edgecat_runtime/_version.py").write_text('"9"'),
            "_version.py does not say",
        ),
        (lambda p: replaced(p / "CHANGELOG.md", "## ", "## Unreleased "), "no section"),
        (lambda p: replaced(p / "CHANGELOG.md", "- New.", ""), "no entry"),
    ],
    ids=["ready", "version", "asked", "module", "section", "entry"],
)
def test_what_is_not_ready_is_found(
    project: Path, change: Callable[[Path], None], finding: str | None
) -> None:
    change(project)
    found = [*RELEASE["version_findings"](project), *RELEASE["changelog_findings"](project)]
    assert len(found) == (finding is not None), found
    assert finding is None or finding in found[0]


def test_uncommitted_changes_and_an_old_tag_are_found(project: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        command = ["git", *identity, *arguments]
        subprocess.run(command, cwd=project, check=True, capture_output=True)

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "all")
    assert list(RELEASE["git_findings"](project)) == []
    git("tag", f"v{RELEASE['version'](project)}")
    (project / "new.txt").touch()
    changed, tagged = RELEASE["git_findings"](project)
    assert "1 uncommitted" in changed
    assert "exists" in tagged


@pytest.mark.parametrize(
    ("needed", "what"),
    [
        (["filelock", 'nvidia-cublas==13.1; platform_system == "Linux"'], "torch 2.13.0"),
        (["filelock", 'cuda-bindings<14,>=13; platform_system == "Linux"'], "torch 2.13.0"),
        (["filelock", "jinja2", 'nvidia-lib; extra == "opt"'], ""),
        (["filelock", "jinja2"], ""),
    ],
)
def test_the_cuda_build_is_known_by_what_it_needs(needed: list[str], what: str) -> None:
    metadata = {"name": "torch", "version": "2.13.0", "requires_dist": needed}
    assert TORCH_BUILD["cuda_build"]({"install": [{"metadata": metadata}]}) == what


def test_nothing_is_said_where_pip_cannot_tell_or_there_may_be_a_gpu(tmp_path: Path) -> None:
    assert TORCH_BUILD["cuda_build"]({}) == ""
    assert TORCH_BUILD["cuda_build"]({"install": []}) == ""  # it is installed already
    assert TORCH_BUILD["has_gpu"]([str(tmp_path)])


def test_the_note_about_cuda_is_printed_and_waits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waited: list[float] = []
    main = TORCH_BUILD["main"]
    named = main.__globals__
    monkeypatch.setitem(named, "has_gpu", lambda: False)
    monkeypatch.setitem(named, "asked_of_pip", dict)
    monkeypatch.setitem(named, "cuda_build", lambda report: "torch 2.13.0")
    monkeypatch.setattr(named["time"], "sleep", waited.append)
    monkeypatch.setattr(named["sys"], "platform", "linux")
    main()
    assert waited == [TORCH_BUILD["SECONDS"]]
    assert "make TORCH_INDEX=URL" in capsys.readouterr().err
    monkeypatch.setitem(named, "has_gpu", lambda: True)
    main()
    assert capsys.readouterr().err == ""


def clean_environment(folder: Path, *requirements: str) -> Path:
    """Make a virtual environment with these in it, and nothing from here; returns its Python."""
    path = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(path)], check=True)
    python = path / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    command += ["--constraint", str(ROOT / "constraints.txt"), *requirements]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode and "onnection" in ran.stderr:
        pytest.skip(f"the package index cannot be reached: {ran.stderr.splitlines()[-1]}")
    assert ran.returncode == 0, ran.stderr
    return python


def run(program: Path, *arguments: str) -> str:
    """Run in a process that sees nothing of this environment, nor of the checkout."""
    keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    keep["EDGECAT_CACHE"] = str(program.parents[2] / "cache")
    command = [str(program), *arguments]
    folder = program.parents[2]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=keep, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
