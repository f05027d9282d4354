"""`benchmarks/processors`: its verdicts, and one row of it for real, where QEMU is installed."""

from __future__ import annotations

import json
import platform
import shutil
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecat_runtime import ModelCard, UserError
from processors.conversion import SIZE, network, patches
from processors.interpreters import ROOT, Interpreter, pinned
from processors.judge import Verdict, judged
from processors.page import Setting, page
from processors.rows import NATIVE, ROWS, Row
from processors.trials import (
    DRAWN,
    INT8_TESTS,
    Outcome,
    Trial,
    answers,
    classify,
    export,
)
from processors.trials import tests as int8_tests

HASWELL = next(row for row in ROWS if row.cpu == "Haswell")
MODEL = Path("net.int8.onnx")
NOWHERE = Path()
CARD = ModelCard("net", ("cat", "dog"), SIZE, SIZE, precision="int8", golden=((0.0, 4.0),) * 4)
# It must be one process that adds two products in 16 bits, as plain ONNX Runtime does there.
SATURATION = """
import sys, numpy, onnxruntime
from edgecat_runtime.doctor.tiny import int8_graph
for weight in map(int, sys.argv[1:]):
    session = onnxruntime.InferenceSession(int8_graph(weight), providers=["CPUExecutionProvider"])
    frames = numpy.full((1, 4, 4, 3), 255, numpy.uint8)
    print(*session.run(None, {"frames": frames})[0][0].round().astype(int))
"""


@pytest.fixture(scope="module")
def avx2() -> Interpreter:
    """This Python on an emulated processor with AVX2 and without VNNI."""
    emulator = shutil.which("qemu-x86_64-static") or shutil.which("qemu-x86_64")
    if emulator is None:
        pytest.skip("qemu-x86_64-static is not installed (Debian's qemu-user-static)")
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        pytest.skip(f"this Python is built for {sys.platform} on {platform.machine()}, not x86-64")
    return Interpreter((emulator, "-cpu", HASWELL.cpu, sys.executable), "")


def paths(*houses: str) -> list[Path]:
    """Where this environment's packages are, without what installs edgecat itself."""
    return [*(ROOT / house for house in houses), Path(sysconfig.get_path("platlib"))]


def probed(interpreter: Interpreter, model: Path, images: Path) -> Any:
    script = ROOT / "benchmarks" / "processors" / "probe.py"
    command = [script, "onnxruntime", model, images]
    ran = interpreter.run(command, paths("runtime"), cwd=model.parent, timeout=240)
    assert not ran.failure
    return json.loads(ran.out)


# An emulated processor


def test_int8_answers_the_same_with_avx2_and_without_vnni(
    avx2: Interpreter, tmp_path: Path
) -> None:
    from edgecat_export.precision import convert
    from edgecat_export.precision.scan import answer
    from edgecat_export.publish import read_onnx, save_onnx
    from edgecat_runtime.model.golden import golden_frames, golden_rows, preprocess_fingerprint

    float32, model, images = network(), tmp_path / MODEL, tmp_path / "images.npy"
    card = ModelCard(
        *("net", ("cat", "dog"), SIZE, SIZE),
        golden=golden_rows(answer(float32, golden_frames(SIZE, SIZE))),
        preprocess_golden=preprocess_fingerprint(SIZE, SIZE, "crop"),
    )
    made = convert(float32, card, "int8", calibration=patches(16))
    save_onnx(made.payload, made.card, model)
    np.save(images, patches(DRAWN))
    native = Interpreter((sys.executable,), "")
    outcomes = [
        Outcome(answers(row, "onnxruntime", model, images), "", probed(python, model, images))
        for row, python in ((NATIVE, native), (HASWELL, avx2))
    ]
    verdicts = judged(outcomes, {model.name: read_onnx(model)[1]})
    assert [verdict.remark for verdict in verdicts] == ["", ""]


def test_export_to_int8_gives_the_same_bytes(avx2: Interpreter, tmp_path: Path) -> None:
    script = ROOT / "benchmarks" / "processors" / "conversion.py"
    outcomes = []
    for row, python in ((NATIVE, Interpreter((sys.executable,), "")), (HASWELL, avx2)):
        ran = python.run([script], paths("runtime", "export"), cwd=tmp_path, timeout=240)
        assert not ran.failure
        outcomes.append(Outcome(export(row), "", json.loads(ran.out)))
    assert [verdict.remark for verdict in judged(outcomes, {})] == ["", ""]


def test_the_emulated_processor_saturates_eight_bit_weights(
    avx2: Interpreter, tmp_path: Path
) -> None:
    ran = avx2.run(["-c", SATURATION, "64", "127"], paths("runtime"), cwd=tmp_path, timeout=240)
    assert not ran.failure
    seven, eight = ran.out.splitlines()
    assert seven == "255 -255 0"
    assert eight != "255 -255 0"


# Interpreters


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        ("print(1)", ""),
        ("import sys; sys.exit(3)", "exit code 3"),
        ("raise ValueError('no such thing')", "exit code 1: ValueError: no such thing"),
        ("import os; os.kill(os.getpid(), 11)", "killed by SIGSEGV"),
        ("import numpy", "exit code 1: ModuleNotFoundError: No module named 'numpy'"),
    ],
)
def test_a_run_says_how_it_ended(script: str, failure: str, tmp_path: Path) -> None:
    ran = Interpreter((sys.executable,), "").run(["-c", script], [], cwd=tmp_path, timeout=60)
    assert ran.failure == failure


def test_a_run_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    script = ["-c", "import time; time.sleep(600)"]
    ran = Interpreter((sys.executable,), "").run(script, [], cwd=tmp_path, timeout=1)
    assert ran.failure == "timed out after 1 s"


def test_versions_are_those_of_the_constraints() -> None:
    assert pinned("numpy", "3.10") == "numpy==2.2.6"
    assert pinned("numpy", "3.13") == "numpy==2.4.6"
    assert pinned("numpy==1.26.4", "3.13") == "numpy==1.26.4"
    with pytest.raises(UserError, match=r"constraints.txt has no cowsay for Python 3.13"):
        pinned("cowsay", "3.13")


# Verdicts


def found(**changes: Any) -> dict[str, Any]:
    """What the probe says where all is well."""
    logits = [[0.0, 1.0]] * DRAWN
    features = ["SSE42", "AVX2"]
    well = {"features": features, "refused": "", "golden_error": 0.0, "logits": logits}
    return {**well, "python": "3.13.5", **changes}


def verdict_of(row: Row, backend: str, failure: str = "", **changes: Any) -> Verdict:
    """The verdict on a row's answers, beside native ones that are well."""
    native = Outcome(answers(NATIVE, backend, MODEL, NOWHERE), "", found())
    trial = replace(answers(row, backend, MODEL, NOWHERE), drawn=DRAWN)
    outcome = Outcome(trial, failure, {} if failure else found(**changes))
    return judged([native, outcome], {MODEL.name: CARD})[1]


def test_the_same_answers_pass() -> None:
    verdict = verdict_of(HASWELL, "onnxruntime")
    assert (verdict.passed, verdict.failed, verdict.error, verdict.same) == (True, False, 0, DRAWN)


@pytest.mark.parametrize(
    ("changes", "remark"),
    [
        ({"refused": "0.2 off"}, "0.2 off"),
        ({"logits": [[0.0, 1.3]] * DRAWN}, "logits of drawn images differ by 7.5e-02"),
        ({"logits": [[0.0, float("nan")]] * DRAWN}, "logits of drawn images differ by inf"),
        (
            {"logits": [[0.1, 0.0], *[[0.0, 1.0]] * (DRAWN - 1)]},
            "1 of 12 drawn images get a different",
        ),
        ({"features": ["SSE42"]}, "does not see AVX2"),
        ({"features": ["AVX2", "AVX512VNNI"]}, "sees AVX512VNNI"),
    ],
)
@pytest.mark.parametrize("backend", ["onnxruntime", "opencv"])
def test_what_is_beyond_a_limit_fails(backend: str, changes: dict[str, Any], remark: str) -> None:
    verdict = verdict_of(HASWELL, backend, **changes)
    assert remark in verdict.remark
    assert verdict.failed


@pytest.mark.parametrize(
    ("row", "backend", "fails"),
    [
        (HASWELL, "onnxruntime", True),
        (HASWELL, "openvino", False),
        (HASWELL, "opencv", False),
        (NATIVE, "openvino", True),
    ],
)
def test_what_must_run_fails_where_it_does_not(row: Row, backend: str, fails: bool) -> None:
    verdict = verdict_of(row, backend, "killed by SIGSEGV")
    assert (verdict.ran, verdict.failed) == (False, fails)
    assert str(verdict) == "did not run: killed by SIGSEGV"


@pytest.mark.parametrize(
    ("name", "remark"),
    [
        ("float32", "the float32 network already differs"),
        ("payload", "payload differs from the native one"),
        ("golden", "different golden logits"),
        ("gate", ""),
    ],
)
def test_a_hash_that_differs_fails(name: str, remark: str) -> None:
    hashes = {"float32": "f", "payload": "p", "golden": "g", "gate": "PASS"}
    outcomes = [
        Outcome(export(NATIVE), "", hashes),
        Outcome(export(HASWELL), "", {**hashes, name: "another"}),
    ]
    verdict = judged(outcomes, {})[1]
    assert remark in verdict.remark
    assert verdict.failed == bool(remark)


@pytest.mark.parametrize(
    ("out", "failure", "remark"),
    [
        ("15 passed, 22 deselected in 3 s", "", ""),
        ("FAILED tests/a.py::test_b[int8] - x\n1 failed, 14 passed", "exit code 1", "test_b[int8]"),
        ("37 deselected in 3 s", "exit code 5", "exit code 5"),
        ("", "", "no test ran"),
    ],
)
def test_tests_must_run_and_pass(out: str, failure: str, remark: str) -> None:
    verdict = judged([Outcome(int8_tests(HASWELL), failure, {}, out)], {})[0]
    assert (verdict.remark, verdict.failed) == (remark, bool(remark))


@pytest.mark.parametrize(
    ("label", "share", "remark"),
    [
        ("cat", 0.9, ""),
        ("dog", 0.9, "1 of 1 images get a different label"),
        ("cat", 0.8, "a probability differs by 0.10"),
    ],
)
def test_versions_of_opencv_are_held_to_the_newest(label: str, share: float, remark: str) -> None:
    def outcome(opencv: str, label: str, share: float) -> Outcome:
        answer = {"label": label, "probabilities": {"cat": share, "dog": 1 - share}}
        return Outcome(classify(NATIVE, opencv, NOWHERE), "", {"answers": [answer]})

    newest, older = outcome("5.0.0.93", "cat", 0.9), outcome("4.6.0.66", label, share)
    verdict = judged([newest, older], {})[1]
    assert remark in verdict.remark
    assert verdict.failed == bool(remark)


# The page


def test_the_page_shows_every_trial_and_why_it_failed() -> None:
    trials: list[Callable[[Row], Trial]] = [
        lambda row: answers(row, "onnxruntime", MODEL, NOWHERE),
        lambda row: answers(row, "openvino", MODEL, NOWHERE),
    ]
    outcomes = [Outcome(trial(NATIVE), "", found()) for trial in trials]
    outcomes += [
        Outcome(trials[0](HASWELL), "", found(refused="golden frames are 2.1e-01 off")),
        Outcome(trials[1](HASWELL), "killed by SIGSEGV", {}),
    ]
    verdicts = judged(outcomes, {MODEL.name: CARD})
    text = page([NATIVE, HASWELL], verdicts, Setting("QEMU 10", "3.13", "3.13.5"))
    assert "**1 of 4 trials failed.**" in text
    assert "FAIL: golden frames are 2.1e-01 off |" in text
    assert "did not run: killed by SIGSEGV |" in text
    assert f"| {HASWELL.title} | x86_64 | `Haswell` | SSE42, AVX2 | none |" in text
    assert INT8_TESTS[0] in text
