"""The main job on real photographs, shown from end to end by edgecat's own commands.

    EDGECAT_PHOTOS=cats-dogs python benchmarks/photographs.py [CHECKPOINT] [--frames 200]

Evaluates a checkpoint on `test.tar`, exports it, verifies the export on every backend present on
500 test photographs, and plays test photographs as a lossless video through the camera loop, whose
raw answers must be those of `evaluate`, frame by frame. Without CHECKPOINT it trains one first, on
`train-*.tar`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgecat.data.folder import Picture, scan
from edgecat.training.loader import served_batches
from edgecat_runtime import Classifier
from edgecat_runtime.camera import Camera
from edgecat_runtime.pictures import decode_picture
from edgecat_runtime.pipeline import Pipeline


def main() -> None:
    """Run every step and print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("checkpoint", nargs="?", type=Path)
    parser.add_argument("--frames", type=int, default=200, help="of the video")
    options = parser.parse_args()
    photos = Path(os.environ.get("EDGECAT_PHOTOS") or sys.exit("EDGECAT_PHOTOS is unset"))
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = options.checkpoint or _trained(photos, Path(folder))
        engine, video = Path(folder) / "vgg16.onnx", Path(folder) / "photographs.avi"
        test = photos / "test.tar"
        for model in (checkpoint, engine):
            if model == engine:
                _edgecat("export", checkpoint, "--output", engine)
            answer = _edgecat("evaluate", model, test, "--json")
            print(f"evaluate  {answer['backend']:<12} {answer['accuracy']:.2%} of {answer['n']}")
        verified = _edgecat(
            "verify", checkpoint, engine, "--data", test, "--limit", "500", "--json"
        )
        for pair in verified["pairs"]:
            print(
                f"verify    {pair['backend']:<12} agreement {pair['agreement']:.2%} of "
                f"{pair['n']}, worst logit error {pair['max_logit_error']:.1e}"
            )
        pictures = _spread(scan([test]).pictures, options.frames)
        _write_video(video, pictures)
        print(f"camera    {_compared(engine, video, test, options.frames)}")


def _trained(photos: Path, folder: Path) -> Path:
    start = time.perf_counter()
    tars = sorted(photos.glob("train-*.tar"))
    _edgecat("train", *tars, "--output", folder, "--name", "photographs")
    print(f"train     {(time.perf_counter() - start) / 60:.1f} minutes")
    return folder / "photographs" / "vgg16.safetensors"


def _edgecat(*arguments: object) -> Any:
    command = [sys.executable, "-m", "edgecat", *map(str, arguments)]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if ran.returncode:
        sys.exit(f"edgecat {arguments[0]} ended with {ran.returncode}")
    return json.loads(ran.stdout) if "--json" in arguments else None


def _spread(pictures: tuple[Picture, ...], count: int) -> tuple[Picture, ...]:
    return tuple(pictures[i * len(pictures) // count] for i in range(count))


def _write_video(path: Path, pictures: tuple[Picture, ...]) -> None:
    """Photographs as a lossless (HFYU) video, each at its own 200x200 pixels."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"HFYU"), 25, (200, 200))
    if not writer.isOpened():
        sys.exit("this OpenCV cannot write HFYU video")
    for picture in pictures:
        writer.write(decode_picture(picture.read(), picture.name))
    writer.release()


def _compared(engine: Path, video: Path, test: Path, count: int) -> str:
    """Compare the camera's raw answers with evaluate's for the same photographs."""
    found = scan([test])
    chosen = replace(found, pictures=_spread(found.pictures, count))
    with Classifier.open(engine) as classifier, Camera.open(video) as camera:
        batches = served_batches(chosen, classifier.preprocess, batch_size=16)
        expected = np.concatenate([classifier.infer(batch.frames) for batch in batches])
        answers = [answer.raw.logits for answer in Pipeline(camera, classifier)]
    found_logits = np.array(answers, np.float32)
    if found_logits.shape != expected.shape:
        sys.exit(f"the camera answered {len(answers)} of {count} frames")
    same = int((found_logits.argmax(1) == expected.argmax(1)).sum())
    worst = float(np.abs(found_logits - expected).max())
    if same != count:
        sys.exit(f"the camera agrees with evaluate on {same} of {count} frames only")
    return f"agrees with evaluate on {same} of {count} frames, worst logit difference {worst:.1e}"


if __name__ == "__main__":
    main()
