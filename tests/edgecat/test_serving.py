"""What a command serves where no model is named: the fastest right form, chosen once, and told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgecat.pretrained import FP16, INT8
from edgecat.workflows import models, serving
from edgecat.workflows.reporter import Advance, Silent
from edgecat_runtime import EdgecatError, GateError, read_card
from edgecat_runtime.backends import available_backends
from edgecat_runtime.doctor.probes import in_child
from edgecat_runtime.model.artifact import seal_onnx
from edgecat_runtime.model.card import ModelCard

Cli = Callable[..., Any]
Ship = Callable[..., tuple[Path, ...]]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.png"
    cv2.imwrite(str(path), np.full((40, 40, 3), 90, np.uint8))
    return path


@pytest.fixture
def choices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no runs: the folder in which choices are remembered."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGECAT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "choices"


@pytest.fixture
def ship(
    make_tiny: Callable[..., bytes],
    tiny_card: ModelCard,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Ship:
    """Let small forms be the ones that ship: `{"int8": right, "fp16": right}`."""

    def make(**right: bool) -> tuple[Path, ...]:
        forms = []
        for precision, is_right in right.items():
            path = tmp_path / f"tiny.{precision}.onnx"
            card = replace(tiny_card, precision=precision)  # type: ignore[arg-type]
            path.write_bytes(make_tiny(negate=not is_right, card=card))
            # The forms of a model differ in their payload: here, in a producer's name.
            card = read_card(path)
            payload = path.read_bytes()[: card.payload_bytes]
            path.write_bytes(seal_onnx(payload + b"\x12\x04" + precision.encode(), card))
            forms.append(path)
        monkeypatch.setattr(models, "SHIPPED", tuple(forms))
        return tuple(forms)

    return make


BACKENDS = available_backends("model.onnx")


def test_what_runs_out_of_the_box(cli: Cli, choices: Path, image: Path) -> None:
    """The model that really ships, on whatever processor this is."""
    first = cli("classify", image, "--verbose")
    assert first.code == 0, first.err
    lines = first.err.splitlines()
    tried = [f"{path.name} with {name} on" for path in (INT8, FP16) for name in BACKENDS]
    for way in tried:
        assert any(line.startswith(f"  {way}") for line in lines), (way, lines)
    (kept,) = choices.iterdir()
    assert (
        f"the fastest that passes its self-test here (measured now, cached in {kept})" in first.err
    )
    second = cli("classify", image, "--verbose")
    assert (second.code, second.out) == (0, first.out)
    assert "measured before" in second.err
    assert sorted(lines[1:]) == sorted(second.err.splitlines()[1:])
    silent = cli("classify", image)
    assert (silent.code, silent.out) == (0, first.out)
    fell_back = "vgg16.int8.onnx gives wrong results here" in first.err
    assert bool(silent.err) == fell_back


def test_where_int8_is_refused_everywhere_fp16_serves(
    cli: Cli, choices: Path, image: Path, ship: Ship
) -> None:
    ship(int8=False, fp16=True)
    for _ in range(2):  # measured, then remembered
        ran = cli("classify", image)
        assert ran.code == 0
        assert ran.err.count("\n") == 1
        assert ran.err.startswith(
            "serving tiny.fp16.onnx: tiny.int8.onnx gives wrong results here "
            "(onnxruntime: logits of the golden frames differ by "
        )
    ran = cli("classify", image, "--verbose")
    for name in BACKENDS:
        assert (
            f"  tiny.int8.onnx with {name} on cpu rejected: logits of the golden frames" in ran.err
        )
        assert f"  tiny.fp16.onnx with {name} on cpu " in ran.err


def test_a_slower_preferred_form_is_no_warning(
    cli: Cli, choices: Path, image: Path, ship: Ship
) -> None:
    ship(int8=True, fp16=True)
    assert cli("classify", image).err == ""
    (kept,) = choices.iterdir()
    remembered = json.loads(kept.read_text())
    remembered["taken"] = len(BACKENDS)
    kept.write_text(json.dumps(remembered))
    ran = cli("classify", image, "--verbose")
    assert ran.err.startswith("tiny.fp16.onnx with ")
    assert "wrong results" not in ran.err


def test_where_no_form_is_right_all_are_named(
    cli: Cli, choices: Path, image: Path, ship: Ship
) -> None:
    ship(int8=False, fp16=False)
    ran = cli("classify", image)
    assert ran.code == GateError.exit_code
    assert ran.err.startswith(
        "error: no backend here runs tiny.int8.onnx and tiny.fp16.onnx correctly"
    )
    for name in BACKENDS:
        for form in ("int8", "fp16"):
            assert f"tiny.{form}.onnx with {name} on cpu rejected" in ran.err
    assert "Use the fp32 version, or export it again" in ran.err
    assert not choices.exists()


def test_a_named_model_is_chosen_for_as_well(
    cli: Cli, choices: Path, image: Path, ship: Ship
) -> None:
    (right, wrong) = ship(int8=True, fp16=False)
    ran = cli("classify", image, "--engine", right, "--verbose")
    assert ran.err.count("tiny.int8.onnx with") == 1 + len(BACKENDS)
    assert len([*choices.iterdir()]) == 1
    ran = cli("classify", image, "--engine", wrong)
    assert ran.code == 3, "no other form takes the place of what was named"
    assert "tiny.int8.onnx" not in ran.err
    ran = cli("classify", image, "--engine", right, "--backend", "onnxruntime", "--verbose")
    assert ran.err == "tiny.int8.onnx with onnxruntime on cpu, the only candidate\n"


def test_the_newest_run_comes_before_what_ships(
    cli: Cli, choices: Path, image: Path, ship: Ship, tmp_path: Path
) -> None:
    (own,) = ship(fp32=True)
    run = tmp_path / "runs" / "mine"
    run.mkdir(parents=True)
    own.rename(run / "own.onnx")
    ship(int8=False, fp16=False)
    ran = cli("classify", image, "--verbose")
    assert ran.code == 0
    assert ran.err.startswith("own.onnx with ")


def test_opencv_4_leaves_the_model_to_onnx_runtime(
    cli: Cli, choices: Path, image: Path, ship: Ship, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship(int8=True, fp16=True)
    monkeypatch.setattr(cv2, "__version__", "4.6.0")
    ran = cli("classify", image, "--verbose")
    assert ran.code == 0
    assert ran.err.count("with opencv on cpu rejected: OpenCV 4.6.0 cannot run") == 2
    assert "with opencv" not in ran.err.splitlines()[0]
    ran = cli("classify", image, "--backend", "opencv")
    assert ran.code == 1
    assert "needs OpenCV 5" in ran.err


@pytest.mark.parametrize("way", ["switched off", "no home", "in a file's place"])
def test_without_a_cache_it_works_all_the_same(
    cli: Cli,
    choices: Path,
    image: Path,
    ship: Ship,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    way: str,
) -> None:
    def homeless() -> Path:
        raise RuntimeError("no home")

    ship(int8=True, fp16=True)
    if way == "switched off":
        monkeypatch.setenv("EDGECAT_CACHE", "")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    elif way == "no home":
        monkeypatch.delenv("EDGECAT_CACHE")
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setattr(Path, "home", homeless)
    else:
        (tmp_path / "cache").write_text("")
    for _ in range(2):
        ran = cli("classify", image, "--verbose")
        assert ran.code == 0
        assert "(measured now)" in ran.err
    assert not choices.exists()


@pytest.mark.parametrize(
    "command",
    [
        ("camera", "--source", "{image}", "--headless", "--verbose"),
        ("evaluate", "{model}", "{album}", "--verbose"),
        ("data", "check", "{album}", "--verbose"),
    ],
)
def test_every_command_that_opens_a_model_tells(
    cli: Cli, choices: Path, image: Path, album: Path, ship: Ship, command: tuple[str, ...]
) -> None:
    model, _ = ship(int8=True, fp16=True)
    given = [part.format(image=image, album=album, model=model) for part in command]
    ran = cli(*given)
    assert ran.code == 0, ran.err
    assert "the fastest that passes its self-test here (measured now" in ran.err


def test_progress_is_reported_only_while_it_measures(
    choices: Path, ship: Ship, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[int, str, list[int]]] = []

    class Watching(Silent):
        @contextmanager
        def progress(self, total: int, description: str) -> Iterator[Advance]:
            taken: list[int] = []
            shown.append((total, description, taken))
            yield lambda steps=1, description=None: taken.append(steps)

    opened = partial(serving.open_classifier, reporter=Watching())
    forms = ship(int8=True, fp16=True)
    opened(forms).close()
    candidates = 2 * len(BACKENDS)
    assert shown == [(candidates, "finding the fastest backend", [1] * candidates)]
    opened(forms).close()
    assert len(shown) == 1, "remembered"
    monkeypatch.setenv("EDGECAT_CACHE", "")
    opened(forms, quiet=True).close()
    opened(forms, "onnxruntime").close()
    assert len(shown) == 2, "two forms with one backend are measured as well"
    opened(forms[0], "onnxruntime").close()
    assert len(shown) == 2, "one candidate is not"


def test_the_doctor_measures_in_a_child_and_remembers(choices: Path) -> None:
    found = serving.check_shipped()
    assert found.ok
    assert "measured now" in found.value
    assert len([*choices.iterdir()]) == 1
    assert "measured before" in serving.check_shipped().value


def test_a_doctor_that_finds_no_right_form_says_so(
    choices: Path, ship: Ship, monkeypatch: pytest.MonkeyPatch
) -> None:
    forms = ship(int8=False, fp16=False)
    program = "import edgecat.workflows.models as m; from pathlib import Path\n"
    program += f"m.SHIPPED = tuple(map(Path, {list(map(str, forms))!r}))\n"
    (choices.parent.parent / "sitecustomize.py").write_text(program)
    path = os.pathsep.join([str(choices.parent.parent), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path.strip(os.pathsep))
    found = serving.check_shipped()
    assert not found.ok
    assert found.value.startswith(
        "no backend here runs tiny.int8.onnx and tiny.fp16.onnx correctly"
    )
    assert found.fix


def test_a_doctor_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch, choices: Path) -> None:
    monkeypatch.setattr(serving, "_DOCTOR_SECONDS", 0.01)
    found = serving.check_shipped()
    assert not found.ok
    assert "timed out after" in found.value


def test_a_child_runs_what_lies_in_other_modules() -> None:
    assert in_child("os.path:basename", "a/b") == "b"


def test_help_is_as_quick_as_before() -> None:
    """What a choice needs is imported where a model is opened."""
    program = (
        "import sys, edgecat.cli\n"
        "heavy = {'numpy', 'rich', 'cv2', 'torch', 'importlib.metadata'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stdout.strip() == "[]", ran.stdout + ran.stderr


def test_copies_are_opened_as_the_first_was(choices: Path, ship: Ship) -> None:
    """With its file and backend, whatever would be fastest now, and their share of the cores."""
    paths = ship(fp16=True)
    with (
        serving.open_classifier(paths, BACKENDS[-1], threads=1) as first,
        serving.open_copies(first, 2, threads=1) as copies,
    ):
        frames = np.full((2, first.card.height, first.card.width, 3), 90, np.uint8)
        assert [copy.backend for copy in copies] == [BACKENDS[-1]] * 2
        for copy in copies:
            assert np.array_equal(copy.infer(frames), first.infer(frames))
    with pytest.raises(EdgecatError, match="closed"):
        copies[0].infer(frames)


def test_a_file_that_is_replaced_between_two_instances_is_refused(
    choices: Path, ship: Ship
) -> None:
    mine, other = ship(fp16=True, int8=True)
    with serving.open_classifier([mine], BACKENDS[0]) as first:
        other.replace(mine)
        with (
            pytest.raises(EdgecatError, match="replaced by another model"),
            serving.open_copies(first, 1, threads=None),
        ):
            pass


def test_instances_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgecat_runtime.system.machine.cores", lambda: 8)
    assert serving.threads_of_each(1, None) is None
    assert serving.threads_of_each(1, 3) == serving.threads_of_each(4, 3) == 3
    assert serving.threads_of_each(2, None) == 4
    assert serving.threads_of_each(3, None) == 2
    assert serving.threads_of_each(9, None) == 1
