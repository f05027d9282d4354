"""The trials of each row: one process each, with the packages it may import."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from processors.interpreters import ROOT, Interpreter, Ran, Workshop
from processors.rows import Row

BACKENDS = {
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "opencv": "opencv-python-headless",
}
DRAWN = 12
DRAWN_DEAR = 2  # if QEMU takes up to three minutes per image
# Before 4.10, OpenCV's wheels were built for NumPy 1, whose last wheels are for Python 3.12.
OPENCVS = {
    "4.6.0.66": "numpy==1.26.4",
    "4.7.0.72": "numpy==1.26.4",
    "4.8.1.78": "numpy==1.26.4",
    "4.9.0.80": "numpy==1.26.4",
    "4.10.0.84": "numpy==2.2.6",
    "4.11.0.86": "numpy==2.2.6",
    "4.12.0.88": "numpy==2.2.6",
    "5.0.0.93": "numpy",
}
INT8_TESTS = ("tests/export/test_precision.py", "-k", "int8")

_HERE = Path(__file__).parent
_EXPORTS = ("numpy", "onnx", "onnxruntime", "protobuf", "ml-dtypes", "typing-extensions")
_TESTS = ("opencv-python-headless", "pytest", "pluggy", "iniconfig", "packaging", "pygments")

Kind = Literal["answers", "export", "tests", "classify"]


@dataclass(frozen=True)
class Trial:
    """One process in one row.

    Attributes:
        row: the row it runs in.
        kind: kind of trial.
        arguments: arguments to Python.
        packages: requirements that it imports, without dependencies.
        houses: folders of the checkout that it imports from.
        whole: requirements that it imports with their dependencies.
        subject: the backend of `answers`, the OpenCV of `classify`.
        model: file name of the model of `answers`.
        drawn: number of drawn images to classify.
    """

    row: Row
    kind: Kind
    arguments: tuple[str, ...]
    packages: tuple[str, ...]
    houses: tuple[str, ...] = ("runtime",)
    whole: tuple[str, ...] = ()
    subject: str = ""
    model: str = ""
    drawn: int = 0

    def __str__(self) -> str:
        return " ".join(filter(None, (self.row.key, self.kind, self.subject, self.model)))


@dataclass(frozen=True)
class Outcome:
    """The outcome of a trial.

    Attributes:
        trial: the trial.
        failure: why it failed; empty on success.
        found: its JSON output, if any.
        out: its complete output.
        seconds: duration.
        skipped: whether it was not started, since no wheels exist for it.
    """

    trial: Trial
    failure: str
    found: Mapping[str, Any]
    out: str = ""
    seconds: float = 0.0
    skipped: bool = False


def planned(
    rows: Sequence[Row],
    models: Sequence[Path],
    backends: Sequence[str],
    images: Path,
    pictures: Path,
) -> list[Trial]:
    """List the trials of some rows, longest first.

    Args:
        rows: rows of the matrix.
        models: `.onnx` files.
        backends: names of backends, such as `onnxruntime`.
        images: the drawn images, as .npy file.
        pictures: a folder with the same images as PNG files.
    """
    answered = [
        answers(row, backend, model, images)
        for row in rows
        for backend in backends
        for model in models
        if backend == "onnxruntime" or not (row.slow_float and _is_float(model))
    ]
    answered.sort(key=lambda trial: (trial.row.native, not trial.row.slow_float))
    trials = [*answered, *map(tests, rows), *map(export, rows)]
    natives = [row for row in rows if row.native]
    return trials + [classify(row, opencv, pictures) for row in natives for opencv in OPENCVS]


def answers(row: Row, backend: str, model: Path, images: Path) -> Trial:
    """Run a backend on the golden frames of a file and on drawn images."""
    in_float = backend == "opencv" or _is_float(model)
    dear = _is_float(model) or (in_float and row.slow_float)
    drawn = DRAWN_DEAR if dear and not row.native else DRAWN
    return Trial(
        row,
        "answers",
        (str(_HERE / "probe.py"), backend, str(model), str(images), "--drawn", str(drawn)),
        tuple(dict.fromkeys(("numpy", "opencv-python-headless", BACKENDS[backend]))),
        subject=backend,
        model=model.name,
        drawn=drawn,
    )


def _is_float(model: Path) -> bool:
    return "int8" not in model.name


def export(row: Row) -> Trial:
    """Convert a small seeded network to int8."""
    script = (str(_HERE / "conversion.py"),)
    return Trial(row, "export", script, _EXPORTS, houses=("runtime", "export"))


def tests(row: Row) -> Trial:
    """Run the int8 tests."""
    path, *chosen = INT8_TESTS
    pytest = ("-m", "pytest", "-q", "-p", "no:cacheprovider", str(ROOT / path), *chosen)
    return Trial(row, "tests", pytest, _EXPORTS + _TESTS, houses=("runtime", "export"))


def classify(row: Row, opencv: str, pictures: Path) -> Trial:
    """Run `edgecat classify` with the shipped model and one version of OpenCV."""
    return Trial(
        row,
        "classify",
        ("-m", "edgecat", "classify", str(pictures), "--json"),
        (OPENCVS[opencv], "onnxruntime", f"opencv-python-headless=={opencv}"),
        houses=(".", "runtime", "export"),
        whole=("typer",),
        subject=opencv,
    )


def run_all(
    trials: Sequence[Trial],
    workshop: Workshop,
    *,
    cwd: Path,
    jobs: int,
    timeout: float,
    report: Callable[[Outcome], None],
) -> list[Outcome]:
    """Download what the trials need, then run `jobs` of them in parallel.

    Args:
        trials: to run.
        workshop: creates interpreters and downloads packages.
        cwd: an empty working folder for `edgecat`, without training runs.
        jobs: number of parallel processes, each on one thread.
        timeout: per trial, in seconds.
        report: called with each outcome.

    Returns:
        The outcomes, in the order of the trials.

    Raises:
        UserError: a download failed.
    """
    done = {
        trial: Outcome(trial, reason, {}, skipped=True)
        for trial in trials
        if (reason := _without_wheels(trial))
    }
    ready = {trial: _prepared(trial, workshop) for trial in trials if trial not in done}
    with ThreadPoolExecutor(jobs) as pool:
        futures = {
            pool.submit(_run, trial, *ready[trial], cwd=cwd, timeout=timeout): trial
            for trial in ready
        }
        for future in as_completed(futures):
            done[futures[future]] = future.result()
            report(done[futures[future]])
    return [done[trial] for trial in trials]


def _without_wheels(trial: Trial) -> str:
    """Say why a trial cannot run with this Python; empty if it can."""
    if "numpy==1.26.4" in trial.packages and sys.version_info >= (3, 13):
        return "its wheels need NumPy 1, which has no wheels for Python 3.13"
    return ""


def _prepared(trial: Trial, workshop: Workshop) -> tuple[Interpreter, list[Path]]:
    interpreter = workshop.interpreter(trial.row)
    paths = [workshop.package(interpreter, name) for name in trial.packages]
    paths += [workshop.package(interpreter, name, dependencies=True) for name in trial.whole]
    return interpreter, [(ROOT / house).resolve() for house in trial.houses] + paths


def _run(
    trial: Trial, interpreter: Interpreter, paths: Sequence[Path], *, cwd: Path, timeout: float
) -> Outcome:
    ran = interpreter.run(trial.arguments, paths, cwd=cwd, timeout=timeout)
    return Outcome(trial, ran.failure, _json(ran), ran.out, ran.seconds)


def _json(ran: Ran) -> Mapping[str, Any]:
    """Parse the JSON output of a trial; a list goes under `answers`."""
    try:
        found = json.loads(ran.out)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {"answers": found}
