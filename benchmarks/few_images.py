"""Train on few images of two things of one's own: from random weights, and as `train` starts.

    python benchmarks/few_images.py [--each 35] [--tests 60] [--epochs 20] [--seeds 1]

The things are drawn: cups and bowls of any colour, size, turn and place, on busy backgrounds. Each
way is `edgecat.train` with its defaults; the second starts from the bundled weights by itself.
Returns 1 if that is not better on new drawings.
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np

import edgecat
from edgecat.evaluation.curves import wilson
from edgecat_runtime.system.machine import cores, processor
from edgecat_runtime.types import Image

SIDE = 200
THINGS = ("bowl", "cup")


def drawn(thing: str, random: np.random.Generator) -> Image:
    """Draw a thing, uint8 (SIDE, SIDE, 3): a cup is tall and has a handle, a bowl is wide."""
    coarse = random.integers(40, 216, (random.integers(3, 9), random.integers(3, 9), 3))
    image = cv2.resize(coarse.astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    for _ in range(random.integers(3, 9)):
        one, other = (tuple(map(int, random.integers(0, SIDE, 2))) for _ in range(2))
        cv2.line(image, one, other, random.integers(0, 256, 3).tolist(), int(random.integers(1, 9)))
    size = random.uniform(45, 85)
    wide, tall = (0.95, 0.55) if thing == "bowl" else (0.6, 0.75)
    foot = random.uniform(0.35, 0.6) if thing == "bowl" else random.uniform(0.75, 1.0)
    body = np.array([(-wide, -tall), (wide, -tall), (wide * foot, tall), (-wide * foot, tall)])
    turn = random.uniform(-0.35, 0.35)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    centre = random.uniform(size, SIDE - size, 2)
    colour = random.integers(0, 256, 3)
    dark = (0.6 * colour).astype(int).tolist()
    if thing == "cup":
        side = random.choice([-1, 1])
        handle = (rotation @ (side * wide * size, 0) + centre).astype(int).tolist()
        cv2.circle(image, handle, int(0.4 * size), dark, max(3, int(0.12 * size)), cv2.LINE_AA)
    corners = (body * size @ rotation.T + centre).astype(np.int32)
    cv2.fillPoly(image, [corners], colour.tolist(), cv2.LINE_AA)
    rim = (rotation @ (0, -tall * size) + centre).astype(int).tolist()
    axes = (int(wide * size), int(0.18 * size))
    cv2.ellipse(image, rim, axes, np.degrees(turn), 0, 360, dark, -1, cv2.LINE_AA)
    noisy = image + random.normal(0, 8, image.shape)
    return np.asarray(noisy.clip(0, 255), np.uint8)


def write(folder: Path, each: int, seed: int) -> Path:
    """Draw a folder of class folders with `each` images a class."""
    random = np.random.default_rng(seed)
    for thing in THINGS:
        (folder / thing).mkdir(parents=True)
        for number in range(each):
            cv2.imwrite(str(folder / thing / f"{number:03}.png"), drawn(thing, random))
    return folder


def main() -> int:
    """Train both ways, print a line each, and return 1 if the shipped start is not better."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=35, help="training images a class")
    parser.add_argument("--tests", type=int, default=60, help="new images a class")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_args()
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "opencv-python-headless"))
    print(f"{processor()}, {cores()} cores; {packages}")
    right = {"from nothing": 0, "shipped": 0}
    ways: dict[str, dict[str, Any]] = {"from nothing": {"weights": "none"}, "shipped": {}}
    for seed in range(asked.seeds):
        with TemporaryDirectory() as folder:
            photos = write(Path(folder) / "photos", asked.each, seed)
            new = write(Path(folder) / "new", asked.tests, 1000 + seed)
            for name, options in ways.items():
                started = time.perf_counter()
                common = {"epochs": asked.epochs, "seed": seed, "output": Path(folder) / "runs"}
                run = edgecat.train(photos, name=name, **common, **options)
                seconds = time.perf_counter() - started
                scores = edgecat.evaluate(run, new).answers.evaluation
                right[name] += scores.right
                print(f"seed {seed}, {name}: {scores.accuracy:.2%} of {scores.n}, {seconds:.0f} s")
    total = asked.seeds * 2 * asked.tests
    for name, count in right.items():
        low, high = wilson(count, total)
        print(f"{name}: {count / total:.2%} of {total} (95 % interval {low:.1%} to {high:.1%})")
    return int(right["shipped"] <= right["from nothing"])


if __name__ == "__main__":
    sys.exit(main())
