"""Test for identical results on many CPUs: `make processors`.

    PYTHONPATH=benchmarks python -m processors [--rows haswell nano ...]

Downloads QEMU, Pythons and wheels into `.venv/processors`, once, without changing the system. Each
row opens the shipped files on every backend, replays their golden frames, classifies drawn images;
converts a network to int8; and runs the int8 tests. A run of all rows writes
`docs/results/processors.md`; a partial run prints the page. Exits with 3 if a result exceeds
the limits, a hash differs, a test fails, or a required trial does not run.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from edgecat.pets.synthetic import synthetic_pets
from edgecat.pretrained import FP16, INT8
from edgecat_runtime import EdgecatError, read_card
from edgecat_runtime.system.atomic import atomic_path
from edgecat_runtime.system.machine import cores
from processors.interpreters import ROOT, Workshop
from processors.judge import Verdict, judged
from processors.page import Setting, page
from processors.rows import NATIVE, ROWS, Row
from processors.trials import BACKENDS, DRAWN, Outcome, planned, run_all

PAGE = ROOT / "docs" / "results" / "processors.md"
_SELECTIONS = ("rows", "backends", "models")
_SIZE = 400  # halved, then scaled by less than two: covers both steps of `preprocess`


def main() -> int:
    """Run the matrix; return the exit code."""
    parser = argparse.ArgumentParser(description="Test for identical results on many CPUs.")
    keys = [row.key for row in ROWS]
    parser.add_argument("--rows", nargs="+", choices=keys, default=keys, help="default: all")
    parser.add_argument("--backends", nargs="+", choices=list(BACKENDS), default=list(BACKENDS))
    parser.add_argument("--jobs", type=int, default=cores(), help="number of parallel processes")
    parser.add_argument("--timeout", type=float, default=5400, help="per process, in seconds")
    parser.add_argument("--folder", type=Path, default=ROOT / ".venv" / "processors")
    parser.add_argument("--models", type=Path, nargs="+", default=[INT8, FP16])
    whole = parser.parse_args([])
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # otherwise QEMU leaves core files
    rows = [row for row in ROWS if row == NATIVE or row.key in options.rows]
    models = [path.resolve() for path in options.models]
    try:
        workshop = Workshop(options.folder)
        verdicts = _tried(rows, models, workshop, options)
        text = page(rows, verdicts, _setting(rows, verdicts, workshop))
        if all(getattr(options, name) == getattr(whole, name) for name in _SELECTIONS):
            with atomic_path(PAGE) as temporary:
                temporary.write_text(text, encoding="utf-8")
            print(f"wrote {PAGE.relative_to(ROOT)}")
        else:
            print(text)
    except EdgecatError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    failed = [verdict for verdict in verdicts if verdict.failed]
    for verdict in failed:
        print(f"{verdict.outcome.trial}: {verdict}", file=sys.stderr)
    return 3 if failed else 0


def _tried(
    rows: Sequence[Row], models: Sequence[Path], workshop: Workshop, options: argparse.Namespace
) -> list[Verdict]:
    with tempfile.TemporaryDirectory() as folder:
        images, pictures = _draw(Path(folder))
        trials = planned(rows, models, options.backends, images, pictures)
        print(f"{len(trials)} trials on {len(rows)} CPUs, {options.jobs} in parallel", flush=True)
        place = Path(folder) / "place"
        place.mkdir()
        outcomes = run_all(
            trials, workshop, cwd=place, jobs=options.jobs, timeout=options.timeout, report=_report
        )
    return judged(outcomes, {path.name: read_card(path) for path in models})


def _draw(folder: Path) -> tuple[Path, Path]:
    """Draw the images for all rows, as an .npy file and a folder of PNG files."""
    drawn, _ = synthetic_pets(DRAWN, seed=7, size=_SIZE)
    images, pictures = folder / "images.npy", folder / "pictures"
    np.save(images, drawn)
    pictures.mkdir()
    for number, image in enumerate(drawn):
        cv2.imwrite(str(pictures / f"{number:02d}.png"), image)
    return images, pictures


def _report(outcome: Outcome) -> None:
    print(f"{outcome.seconds:6.0f} s  {outcome.trial}  {outcome.failure}".rstrip(), flush=True)


def _setting(rows: Sequence[Row], verdicts: Sequence[Verdict], workshop: Workshop) -> Setting:
    foreign = [row for row in rows if not row.native]
    found = [
        verdict.outcome.found["python"]
        for verdict in verdicts
        if not verdict.outcome.trial.row.native and "python" in verdict.outcome.found
    ]
    return Setting(
        emulator=workshop.emulator_version(foreign[0]) if foreign else "",
        native_python="{}.{}".format(*sys.version_info),
        guest_python=found[0] if found else "",
    )


if __name__ == "__main__":
    sys.exit(main())
