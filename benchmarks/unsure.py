"""Measure how often a calibrated model says `unsure` without and with an animal.

    python benchmarks/unsure.py CHECKPOINT RUN > docs/results/unsure.md

Calibrates a checkpoint on its own training run (`edgecat evaluate --calibrate RUN`) and prints, for
unseen drawn frames of every kind, the result of plain energy, the fitted energy, and one
fitted without that kind, at a threshold that 99 of 100 validation photos pass. Limit:
nine of ten drawn frames over all kinds. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from edgecat.evaluation.calibration import DRAWN, FRESH
from edgecat_runtime.system.machine import this_machine

BAR = 0.9


def main() -> int:
    """Calibrate, print, and return 1 if the limit is missed."""
    parser = argparse.ArgumentParser(description="How often a model says unsure.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("run", type=Path, help="folder of its training run")
    options = parser.parse_args()
    found = calibrated(options.checkpoint, options.run)
    print("# Unsure where there is no animal\n\nWritten by `benchmarks/unsure.py`.\n")
    print(f"{this_machine()}. Python {platform.python_version()}, torch {torch.__version__}.\n")
    print(
        f"{found['answered']:.2%} of {found['n']:,} validation photos are classified. The "
        f"energy was fitted on {found['fitted']:,} training photos and {DRAWN} drawn frames "
        f"of each kind; of {FRESH} others of each kind, this fraction is `unsure`:\n"
    )
    print("| kind | plain energy | fitted | fitted without this kind |")
    print("| --- | --- | --- | --- |")
    columns = [found[name] for name in ("plain", "unsure", "unseen")]
    for kind in found["unsure"]:
        print(f"| {kind} |", " | ".join(f"{column[kind]:.0%}" for column in columns), "|")
    means = [sum(column.values()) / len(column) for column in columns]
    print("| all |", " | ".join(f"**{mean:.1%}**" for mean in means), "|\n")
    (cold, warm), (before, after) = found["loss"], found["ece"]
    print(
        f"Temperature {found['temperature']:.3f}: loss {cold:.4f} to {warm:.4f}, calibration error "
        f"{before:.2%} to {after:.2%}, on the same validation photos."
    )
    return int(means[1] < BAR)


def calibrated(checkpoint: Path, run: Path) -> Any:
    """Return the result of `edgecat evaluate --calibrate`, without changing the checkpoint."""
    command = [sys.executable, "-m", "edgecat", "evaluate", checkpoint, "--calibrate", run]
    with tempfile.TemporaryDirectory() as folder:
        command += ["--output", Path(folder) / checkpoint.name, "--json"]
        ran = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True)
    if ran.returncode:
        sys.exit(f"edgecat evaluate exited with code {ran.returncode}")
    return json.loads(ran.stdout)["calibration"]


if __name__ == "__main__":
    sys.exit(main())
