"""Measure how reliably and how fast `edgecat data check` finds duplicates.

    EDGECAT_PHOTOS=photos python benchmarks/duplicates.py [--pictures 15000]

Copies are made of training photos; similar pairs among the photos themselves are listed by
correlation, which shows that the thresholds separate copies from the rest. The blur effect
by which `edgecat data capture` rejects an image is measured on the same. `test.tar` is not read.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgecat.curation import fingerprint as prints
from edgecat.curation.gather import BLURRED, blur_effect
from edgecat.curation.inspection import look
from edgecat.data.folder import scan
from edgecat_runtime.images import decode_image
from edgecat_runtime.types import Image

SAMPLE = 500
BAR = 0.95  # fraction of the copies found, for each kind except crops of 5 % and more


def _encoded(image: Image, quality: int) -> Image:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def _relit(image: Image, gamma: float) -> Image:
    return np.asarray(255 * (image / 255.0) ** gamma, np.uint8)


def _trimmed(image: Image, share: float) -> Image:
    edge = int(len(image) * share / 2)
    return image[edge:-edge, edge:-edge]


CHANGES: dict[str, Callable[[Image], Any]] = {
    "JPEG, quality 30": lambda image: _encoded(image, 30),
    "half the size": lambda image: cv2.resize(image, None, fx=0.5, fy=0.5),
    "another aspect, 3:2": lambda image: cv2.resize(image, (300, 200)),
    "mirrored": lambda image: np.ascontiguousarray(image[:, ::-1]),
    "x 0.6": lambda image: cv2.convertScaleAbs(image, alpha=0.6),
    "x 1.4, clipped": lambda image: cv2.convertScaleAbs(image, alpha=1.4),
    "+ 40, clipped": lambda image: cv2.convertScaleAbs(image, beta=40),
    "gamma 0.6": lambda image: _relit(image, 0.6),
    "gamma 1.6": lambda image: _relit(image, 1.6),
    "blurred, 2 pixels": lambda image: cv2.GaussianBlur(image, (0, 0), 2),
    "cropped by 2 %": lambda image: _trimmed(image, 0.02),
    "cropped by 5 %": lambda image: _trimmed(image, 0.05),
    "cropped by 10 %": lambda image: _trimmed(image, 0.10),
}


def main() -> int:
    """Measure, print, and return 1 if the limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=15_000)
    count = parser.parse_args().pictures
    tars = sorted(Path(os.environ["EDGECAT_PHOTOS"]).glob("train-*.tar"))
    chosen = scan(tars).pictures
    order = np.random.default_rng(0).permutation(len(chosen))[:count].tolist()
    pictures = [chosen[i] for i in order]

    start = time.perf_counter()
    taken = [one.print for batch in look(pictures) for one in batch if one.print is not None]
    looked = time.perf_counter()
    pairs = set(prints.alike_pairs(taken))
    ended = time.perf_counter()
    print(f"{len(taken):,} images: reading {looked - start:.1f} s, pairing {ended - looked:.1f} s")
    print(f"{len(pairs)} pairs match")
    _print_nearest(taken)

    images = [decode_image(p.read(), p.name) for p in pictures[:SAMPLE]]
    print("\n| copy | found |\n| --- | --- |")
    shares = []
    for name, change in CHANGES.items():
        found = [
            bool(prints.compared(prints.fingerprint(change(image)), whole))
            for image, whole in zip(images, taken, strict=False)
        ]
        shares.append(float(np.mean(found)))
        print(f"| {name} | {shares[-1]:.1%} |")
    _print_blur(images)
    return int(min(shares[:-2]) < BAR)


def _print_nearest(taken: list[prints.Fingerprint]) -> None:
    """Print the correlations from a looser search: duplicates, a gap, and other images."""
    limits = prints.DISTANCE, prints.LIKENESS
    prints.DISTANCE, prints.LIKENESS = 16, 0.85
    try:
        loose = {
            pair: prints.compared(taken[pair[0]], taken[pair[1]])
            for pair in prints.alike_pairs(taken)
        }
    finally:
        prints.DISTANCE, prints.LIKENESS = limits
    values = sorted((round(each.correlation, 3) for each in loose.values()), reverse=True)
    print(f"within 16 bits, by correlation: {values[:40]}")


def _print_blur(images: list[Image]) -> None:
    print(f"\n| blur | rejected (above {BLURRED}) |\n| --- | --- |")
    for sigma in (0.0, 1.0, 1.5, 2.0, 3.0):
        soft = [cv2.GaussianBlur(i, (0, 0), sigma) if sigma else i for i in images]
        refused = np.mean([blur_effect(np.asarray(i, np.uint8)) > BLURRED for i in soft])
        print(f"| {f'{sigma:g} pixels' if sigma else 'none'} | {refused:.1%} |")


if __name__ == "__main__":
    sys.exit(main())
