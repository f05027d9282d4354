"""Measure the difficulty of the synthetic pets: `python benchmarks/synthetic.py`.

Colour and pixel layout must carry little information, shape all of it: logistic regression stays
under 75 % on 32x32 pixels and on colour histograms of 10,000 images (8,000 to fit, 2,000 to
test; the best of several regularisations, chosen on those 2,000 in its favour), and a quarter-width
VGG16 with batch norm exceeds 97 % within 5 minutes on two cores (it gets two). Needs
scikit-learn and torch.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time

import cv2
import numpy as np
from numpy.typing import NDArray

from edgecat.pets.synthetic import draw_pet, synthetic_pets

LINEAR_BAR, VGG_BAR, SECONDS = 0.75, 0.97, 120


def main() -> int:
    """Print the figures; exit with 3 if a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=10_000, help="images per model")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="training time of the VGG")
    parser.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="cpu: on a busy machine, CPU time over 2",
    )
    options = parser.parse_args()
    print_machine()
    for size in (64, 128):
        print(f"drawing, {size}x{size}: {drawing_ms(size):.2f} ms per image on one core")
    pictures, labels = synthetic_pets(options.count, seed=1, size=64)
    pixels = linear_accuracy(pixel_features(pictures), labels)
    print(f"logistic regression, 32x32 pixels: {pixels:.1%} (limit: under {LINEAR_BAR:.0%})")
    colours = linear_accuracy(histogram_features(pictures), labels)
    print(f"logistic regression, colour histograms: {colours:.1%} (limit: under {LINEAR_BAR:.0%})")
    deep = vgg_accuracy(pictures, labels, options.seconds, options.clock)
    print(f"quarter-width VGG16-BN, 64x64: {deep:.1%} (limit: over {VGG_BAR:.0%})")
    return 0 if max(pixels, colours) < LINEAR_BAR and deep > VGG_BAR else 3


def print_machine() -> None:
    """Print the measurement environment."""
    import sklearn
    import torch

    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(
        f"numpy {np.__version__}, OpenCV {cv2.__version__}, "
        f"scikit-learn {sklearn.__version__}, torch {torch.__version__}"
    )


def drawing_ms(size: int, count: int = 300) -> float:
    """Time `draw_pet` in milliseconds on one core, both species, after a warm-up image."""
    draw_pet(0, 0, size)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    start = time.process_time()
    for number in range(count):
        draw_pet(number, number % 2, size)
    spent = time.process_time() - start
    cv2.setNumThreads(threads)
    return 1000 * spent / count


def pixel_features(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the pixels at 32x32, float32 (n, 3072)."""
    small = [cv2.resize(p, (32, 32), interpolation=cv2.INTER_AREA).ravel() for p in pictures]
    return np.asarray(small, dtype=np.float32)


def histogram_features(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the square roots of joint histograms, 8 levels per channel, float32 (n, 512)."""
    joint = [cv2.calcHist([p], [0, 1, 2], None, [8, 8, 8], [0, 256] * 3).ravel() for p in pictures]
    return np.sqrt(np.asarray(joint, dtype=np.float32))


def linear_accuracy(features: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Fit logistic regression on the first four fifths; return the accuracy on the last fifth."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    cut = len(labels) * 4 // 5
    scaled = StandardScaler().fit(features[:cut]).transform(features)
    best = 0.0
    for strength in (1e-5, 1e-4, 1e-3, 1e-2):
        model = LogisticRegression(C=strength, max_iter=500).fit(scaled[:cut], labels[:cut])
        best = max(best, float(model.score(scaled[cut:], labels[cut:])))
    return best


def vgg_accuracy(
    pictures: NDArray[np.uint8], labels: NDArray[np.int64], seconds: float, clock: str
) -> float:
    """Train a small VGG on the first four fifths; return the accuracy on the last fifth."""
    import torch
    from torch.nn import functional

    from edgecat.models.vgg import VGG, VGG16

    torch.set_num_threads(2)
    torch.manual_seed(0)
    quarter = tuple(w if isinstance(w, str) else w // 4 for w in VGG16)
    model = VGG(quarter, 2, height=64, width=64, head="gap", batch_norm=True, dropout=0.1)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().sub_(118).div_(64)
    targets = torch.from_numpy(labels)
    cut, batch = len(labels) * 4 // 5, 64
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    used = Stopwatch(clock)
    while (share := used() / seconds) < 1:
        for chosen in torch.split(torch.randperm(cut), batch):
            share = min(1.0, used() / seconds)
            optimiser.param_groups[0]["lr"] = 2e-3 * min(1, 20 * share + 0.05) * (1 - share)
            inputs = images[chosen].contiguous(memory_format=torch.channels_last)
            if torch.rand(()) < 0.5:
                inputs = inputs.flip(3)
            loss = functional.cross_entropy(model(inputs), targets[chosen], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            if share >= 1:
                break
    model.eval()
    with torch.inference_mode():
        answers = [model(part).argmax(1) for part in torch.split(images[cut:], 250)]
    return float((torch.cat(answers) == targets[cut:]).float().mean())


class Stopwatch:
    """A stopwatch: wall-clock time, or CPU time divided by two."""

    def __init__(self, clock: str) -> None:
        """Start; `clock` is `wall` or `cpu`."""
        self._share = 2.0 if clock == "cpu" else 1.0
        self._clock = time.process_time if clock == "cpu" else time.perf_counter
        self._start = self._clock()

    def __call__(self) -> float:
        """Return the seconds elapsed."""
        return (self._clock() - self._start) / self._share


if __name__ == "__main__":
    sys.exit(main())
