"""Plan the epochs from one measured epoch per size: prints `--progressive` and `--epochs`.

    python plan_epochs.py SECONDS METRICS.csv... --sizes 96:0.3,128:0.7

The metrics come from runs that trained one epoch at each size, in parallel, as the long
ones will. The slowest run counts; the first epoch at a size, which includes warm-up, makes the
plan conservative.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

LEAST, MOST, UNKNOWN = 3, 160, 8.0  # minimum and maximum epochs; seconds per epoch without metrics


def plan(
    seconds: float, sizes: Sequence[tuple[int, float]], took: Sequence[float], most: int = MOST
) -> list[int]:
    """Return the number of epochs at each size.

    Args:
        seconds: total training time.
        sizes: pixels, and the fraction of the epochs at that size.
        took: seconds per epoch at each size; 0 if unknown: then scaled by pixels from a known one.
        most: maximum total number of epochs.
    """
    pairs = list(zip((size for size, _ in sizes), took, strict=True))
    by_pixel = max((one / size**2 for size, one in pairs if one), default=0.0)
    filled = [one or by_pixel * size**2 or UNKNOWN for size, one in pairs]
    each = sum(share * one for (_, share), one in zip(sizes, filled, strict=True))
    epochs = max(LEAST, min(most, int(seconds / each)))
    parts = [max(1, round(epochs * share)) for _, share in sizes]
    parts[-1] = max(1, epochs - sum(parts[:-1]))
    return parts


def slowest(metrics: Sequence[Path], count: int) -> list[float]:
    """Return the seconds of the first epochs, each the slowest of several runs."""
    took = [0.0] * count
    for path in metrics:
        rows = list(csv.DictReader(path.open())) if path.exists() else []
        for index, row in enumerate(rows[:count]):
            took[index] = max(took[index], float(row["seconds"]))
    return took


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", type=float)
    parser.add_argument("metrics", nargs="+", type=Path)
    parser.add_argument("--sizes", default="96:0.3,128:0.7")
    parser.add_argument("--most", type=int, default=MOST)
    options = parser.parse_args()
    pairs = (part.split(":") for part in options.sizes.split(","))
    sizes = [(int(size), float(share)) for size, share in pairs]
    parts = plan(options.seconds, sizes, slowest(options.metrics, len(sizes)), options.most)
    stages = (f"{size}:{count}" for (size, _), count in zip(sizes, parts, strict=True))
    print(",".join(stages), sum(parts))


if __name__ == "__main__":
    main()
