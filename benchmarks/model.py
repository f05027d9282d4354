"""Make the shipped model with one command: train, calibrate, export, evaluate.

    EDGECAT_PHOTOS=cats-dogs python benchmarks/model.py [--run runs/shipped] > docs/results/model.md

Trains on `train-*.tar` from random weights (or resumes the run), fits temperature
and energy threshold on the run's own validation photos, writes the three files of
`edgecat/pretrained`, and judges each on `test.tar`, which nothing before has seen. Prints Markdown,
with the run's own configuration. `--forms` writes the fp16 and int8 forms of the checkpoint again,
and nothing else; it needs the run's folder too, which says which photographs were trained on.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from edgecat.data.folder import ImageSet, scan, split
from edgecat.models.checkpoint import load_checkpoint, save_checkpoint
from edgecat.pretrained import CHECKPOINT, FP16, INT8
from edgecat.training import run_folder as run
from edgecat.training.config import STATE, TrainConfig
from edgecat_runtime import Classifier
from edgecat_runtime.system.machine import this_machine

CALIBRATED = 256
OWN = ("data", "name", "output", "threads", "device", "precision", "augment_on", "version")
NAMES = {"compiled": "compile"}
RECIPE = (
    *("--arch", "vgg16", "--width", 0.5, "--head", "gap", "--batch-norm"),
    *("--size", 160, "--progressive", "64:12,96:9,128:6", "--epochs", 27),
    *("--batch-size", 64, "--lr", 0.05, "--ema", 0.998, "--val", 0.05, "--seed", 1),
)


def main() -> None:
    """Make the model and print its scores."""
    parser = argparse.ArgumentParser(description="Make the model shipped with edgecat.")
    parser.add_argument("--run", type=Path, default=Path("runs/shipped"))
    parser.add_argument("--judge", action="store_true", help="only evaluate the existing files")
    parser.add_argument("--forms", action="store_true", help="only rewrite fp16 and int8")
    options = parser.parse_args()
    photos = Path(os.environ.get("EDGECAT_PHOTOS") or sys.exit("EDGECAT_PHOTOS is unset"))
    tars = sorted(photos.glob("train-*.tar"))
    if options.forms:
        ship_forms(options.run, tars)
        return
    if not options.judge:
        ship(trained(options.run, tars), options.run, tars)
    print("# Evaluation of the shipped model\n\nWritten by `benchmarks/model.py`.\n")
    versions = f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}"
    print(f"{this_machine()}. Python {platform.python_version()}, {versions}.\n")
    print_history(options.run)
    judge(photos / "test.tar")
    print_speed()


def trained(folder: Path, tars: list[Path]) -> Path:
    """Train, resume an interrupted run, or use a finished one."""
    if (folder / STATE).exists():
        edgecat("train", "--resume", folder)
    elif not folder.exists():
        edgecat("train", *tars, *RECIPE, "--output", folder.parent, "--name", folder.name)
    return folder / "vgg16.safetensors"


def ship(checkpoint: Path, folder: Path, tars: list[Path]) -> None:
    """Write the three files of `edgecat/pretrained`."""
    calibrated = folder / "calibrated" / "vgg16.safetensors"
    calibrated.parent.mkdir(exist_ok=True)
    edgecat("evaluate", checkpoint, "--calibrate", folder, "--output", calibrated)
    model, card = load_checkpoint(calibrated)
    save_checkpoint(CHECKPOINT, model, card, half=True)
    ship_forms(folder, tars)


def ship_forms(run_folder: Path, tars: list[Path]) -> None:
    """Write the fp16 and int8 versions of the checkpoint.

    Int8 is calibrated on training photos; both versions are evaluated on the
    validation photos.
    """
    config = run.read_config(run_folder)
    found = scan(tars)
    training, validation = split(found, val=config.val, seed=config.seed, version=config.version)
    with tempfile.TemporaryDirectory() as folder:
        calibrate, gate = Path(folder) / "calibrate", Path(folder) / "gate"
        unpack(training, calibrate, CALIBRATED)
        unpack(validation, gate, len(validation.pictures))
        for path, precision in ((FP16, "fp16"), (INT8, "int8")):
            options = ("--calibrate", calibrate, "--gate", gate, "--limit", 0, "--output", path)
            edgecat("export", CHECKPOINT, "--precision", precision, *options)


def unpack(photographs: ImageSet, folder: Path, count: int) -> None:
    """Write `count` photos, balanced by class, into class folders."""
    for index, label in enumerate(photographs.labels):
        (folder / label).mkdir(parents=True)
        group = [picture for picture in photographs.pictures if picture.label == index]
        wanted = count * len(group) // len(photographs.pictures)
        for number in range(wanted):
            picture = group[number * len(group) // wanted]
            (folder / label / f"{number}.jpg").write_bytes(picture.read())


def print_history(folder: Path) -> None:
    """The run's configuration and epochs."""
    config = run.read_config(folder)
    print(f"`{command_of(config)}`\n")
    keys = ("batch_size", "optimizer", "precision", "threads", "device", "version")
    print(", ".join(f"{key} {getattr(config, key)}" for key in keys), end=".\n\n```\n")
    print((folder / run.METRICS).read_text(), end="```\n\n")


def command_of(config: TrainConfig) -> str:
    """The command that a run was started with, by its configuration."""
    found = ["edgecat train train-*.tar"]
    for field in fields(config):
        value = getattr(config, field.name)
        name = NAMES.get(field.name, field.name).replace("_", "-")
        if field.name in OWN or value == field.default:
            continue
        if isinstance(value, bool):
            found.append(f"--{name}" if value else f"--no-{name}")
        else:
            found.append(f"--{name} {value}")
    return " ".join(found)


def judge(test: Path) -> None:
    """Evaluate each version on all test photos."""
    print("| file | MB | backend | test accuracy | | 95 % | answered | calibration error |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for path in (CHECKPOINT, FP16, INT8):
        backend = ("--backend", "pytorch" if path == CHECKPOINT else "onnxruntime")
        report = edgecat("evaluate", path, test, *backend, "--json")
        size = path.stat().st_size / 1e6
        low, high = report["interval"]
        classes = ", ".join(f"{k} {v['accuracy']:.2%}" for k, v in report["per_class"].items())
        print(
            f"| {path.name} | {size:.1f} | {report['backend']} | {report['accuracy']:.2%} of "
            f"{report['n']:,} | {classes} | {low:.1%} to {high:.1%} | {report['answered']:.1%} | "
            f"{report['ece']:.1%} |"
        )


def print_speed(rounds: int = 5, seconds: float = 3.0) -> None:
    """Measure frames per second from a 1280 x 720 frame to the prediction, batch 1."""
    frame = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), np.uint8)
    with Classifier.open(INT8) as classifier:
        rates = []
        for _ in range(rounds):
            start, count = time.perf_counter(), 0
            while time.perf_counter() < start + seconds:
                classifier.classify(frame)
                count += 1
            rates.append(count / (time.perf_counter() - start))
        print(
            f"\n{INT8.name} on {classifier.backend}, 1280x720 frame to prediction, batch 1: "
            f"**{statistics.median(rates):.0f} frames/s** (median of {rounds} rounds; "
            f"{min(rates):.0f} to {max(rates):.0f})."
        )


def edgecat(*arguments: object) -> Any:
    """Run an edgecat command; return its JSON if requested."""
    command = [sys.executable, "-m", "edgecat", *map(str, arguments)]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if ran.returncode:
        sys.exit(f"edgecat {arguments[0]} exited with code {ran.returncode}")
    return json.loads(ran.stdout) if "--json" in arguments else None


if __name__ == "__main__":
    main()
