"""How often a calibrated model says `unsure` where there is no animal, and where there is one.

    python benchmarks/unsure.py CHECKPOINT RUN > docs/results/unsure.md

Calibrates a checkpoint on its own training run (`edgecat evaluate --calibrate RUN`) and prints, for
drawn frames of every kind that the fit has not seen, what plain energy, the fitted one and one
fitted without that kind say, at a limit that 99 of 100 validation photographs pass. Bar:
nine of ten drawn frames, all kinds together. Prints Markdown.
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
    """Calibrate, print, and return 1 where the bar is missed."""
    parser = argparse.ArgumentParser(description="How often a model says unsure.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("run", type=Path, help="the folder of its training run")
    options = parser.parse_args()
    found = calibrated(options.checkpoint, options.run)
    print("# Unsure where there is no animal\n\nWritten by `benchmarks/unsure.py`.\n")
    print(f"{this_machine()}. Python {platform.python_version()}, torch {torch.__version__}.\n")
    print(
        f"{found['answered']:.2%} of {found['n']:,} validation photographs are answered. The "
        f"energy was fitted on {found['fitted']:,} training photographs and {DRAWN} drawn frames "
        f"of each kind; of {FRESH} others of each kind, this share is `unsure`:\n"
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
        f"{before:.2%} to {after:.2%}, on the same validation photographs."
    )
    return int(means[1] < BAR)


def calibrated(checkpoint: Path, run: Path) -> Any:
    """What `edgecat evaluate --calibrate` says of a checkpoint, which it leaves as it is."""
    command = [sys.executable, "-m", "edgecat", "evaluate", checkpoint, "--calibrate", run]
    with tempfile.TemporaryDirectory() as folder:
        command += ["--output", Path(folder) / checkpoint.name, "--json"]
        ran = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True)
    if ran.returncode:
        sys.exit(f"edgecat evaluate ended with {ran.returncode}")
    return json.loads(ran.stdout)["calibration"]


if __name__ == "__main__":
    sys.exit(main())
