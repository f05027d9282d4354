"""Run the complete workflow on real photos, with edgecat's own commands.

    EDGECAT_PHOTOS=cats-dogs python benchmarks/photographs.py [CHECKPOINT] > photographs.md

Evaluates a checkpoint on `test.tar`, exports it in fp32, fp16 and int8 (calibrated on
`train-*.tar`, checked on all of `test.tar` by the export gate), verifies every file on every
available backend against PyTorch on 500 test photos, and plays test photos as a lossless
video through the camera loop, whose raw predictions must equal those of `evaluate` frame by frame.
Without CHECKPOINT it trains one first. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import torch

from edgecat.data.batches import served_batches
from edgecat.data.folder import ImageSet, scan
from edgecat_runtime import Classifier
from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.images import decode_image
from edgecat_runtime.pipeline import Pipeline
from edgecat_runtime.system.machine import this_machine


def main() -> None:
    """Run every step and print its rows."""
    parser = argparse.ArgumentParser(description="Run the complete workflow on real photos.")
    parser.add_argument("checkpoint", nargs="?", type=Path)
    parser.add_argument("--frames", type=int, default=200, help="frames in the video")
    options = parser.parse_args()
    photos = Path(os.environ.get("EDGECAT_PHOTOS") or sys.exit("EDGECAT_PHOTOS is unset"))
    print("# The complete workflow on photos\n\nWritten by `benchmarks/photographs.py`.\n")
    versions = f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}"
    print(f"{this_machine()}. Python {platform.python_version()}, {versions}.\n")
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = options.checkpoint or _trained(photos, Path(folder))
        answer = _edgecat("evaluate", checkpoint, photos / "test.tar", "--json")
        print(f"PyTorch: accuracy {answer['accuracy']:.2%} on {answer['n']:,} test photos.")
        models = _exported(checkpoint, photos, Path(folder))
        _verify(checkpoint, models, photos / "test.tar")
        video = Path(folder) / "photographs.avi"
        chosen = _spread(scan([photos / "test.tar"]), options.frames)
        _write_video(video, chosen)
        print(f"\nThe camera loop {_compared(models[0], video, chosen)}.")


def _exported(checkpoint: Path, photos: Path, folder: Path) -> list[Path]:
    """Export in every precision; the gate's own reports are printed."""
    print("\n| export | MB | agreement | accuracy | points lost | golden error |")
    print("| --- | --- | --- | --- | --- | --- |")
    models = [folder / f"{name}.onnx" for name in ("fp32", "fp16", "int8")]
    _edgecat("export", checkpoint, "--output", models[0], "--json")
    print(f"| fp32 | {models[0].stat().st_size / 1e6:.1f} | | | | |")
    calibration = [part for tar in _training(photos) for part in ("--calibrate", tar)]
    judged = ("--gate", photos / "test.tar", "--limit", 0)
    for model in models[1:]:
        given = (*calibration, *judged, "--precision", model.stem, "--output", model, "--json")
        gate = _edgecat("export", models[0], *given)["gate"]
        print(
            f"| {model.stem} | {model.stat().st_size / 1e6:.1f} | {gate['agreement']:.2%} of "
            f"{gate['n']:,} | {gate['accuracy']:.2%} | {100 * gate['loss']:.2f} | "
            f"{gate['golden_error']:.1e} |"
        )
    return models


def _verify(checkpoint: Path, models: list[Path], test: Path) -> None:
    """Compare every file on every backend with PyTorch."""
    print("\n| against PyTorch | backend | agreement | largest logit error | |")
    print("| --- | --- | --- | --- | --- |")
    limited = ("--data", test, "--limit", 500, "--json")
    for pair in _edgecat("verify", checkpoint, *models, *limited)["pairs"]:
        print(
            f"| {pair['precision']} | {pair['backend']} | {pair['agreement']:.2%} of {pair['n']} | "
            f"{pair['max_logit_error']:.1e} | {'pass' if pair['passed'] else 'FAIL'} |"
        )


def _training(photos: Path) -> list[Path]:
    return sorted(photos.glob("train-*.tar"))


def _trained(photos: Path, folder: Path) -> Path:
    start = time.perf_counter()
    _edgecat("train", *_training(photos), "--output", folder, "--name", "photographs")
    print(f"Trained in {(time.perf_counter() - start) / 60:.1f} minutes.\n")
    return folder / "photographs" / "vgg16.safetensors"


def _edgecat(*arguments: object) -> Any:
    command = [sys.executable, "-m", "edgecat", *map(str, arguments)]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if ran.returncode:
        sys.exit(f"edgecat {arguments[0]} exited with code {ran.returncode}")
    return json.loads(ran.stdout) if "--json" in arguments else None


def _spread(found: ImageSet, count: int) -> ImageSet:
    """Choose images evenly, balanced by class."""
    chosen = tuple(found.pictures[i * len(found) // count] for i in range(count))
    return replace(found, pictures=chosen)


def _write_video(path: Path, chosen: ImageSet) -> None:
    """Write photos as a lossless (HFYU) video of 200x200 pixels."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"HFYU"), 25, (200, 200))
    if not writer.isOpened():
        sys.exit("this OpenCV cannot write HFYU video")
    for picture in chosen.pictures:
        writer.write(decode_image(picture.read(), picture.name))
    writer.release()


def _compared(engine: Path, video: Path, chosen: ImageSet) -> str:
    """Compare the camera's raw predictions with those of `evaluate` for the same photos."""
    with Classifier.open(engine, backend="onnxruntime") as classifier, Camera.open(video) as camera:
        batches = served_batches(chosen, classifier.preprocess, batch_size=16)
        expected = np.concatenate([classifier.infer(batch.frames) for batch in batches])
        answers = [answer.raw.logits for answer in Pipeline(camera, classifier)]
    if len(answers) != len(chosen):
        sys.exit(f"the camera classified {len(answers)} of {len(chosen)} frames")
    found = np.array(answers, np.float32)
    same = int((found.argmax(1) == expected.argmax(1)).sum())
    worst = float(np.abs(found - expected).max())
    if same != len(chosen):
        sys.exit(f"the camera agrees with evaluate on only {same} of {len(chosen)} frames")
    return (
        f"agrees with `evaluate` on {same} of {len(chosen)} frames of a lossless video, before "
        f"smoothing; the largest logit difference is {worst:.1e}"
    )


if __name__ == "__main__":
    main()
