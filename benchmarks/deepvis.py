"""What looking into a network costs, and whether it looks at the animal.

    python benchmarks/deepvis.py [CHECKPOINT] [--pets 200] [--frames 40] > docs/results/deepvis.md

Prints the milliseconds a frame of what the live view computes, and how much of Grad-CAM and of
occlusion lies on the animal in drawn pets, for the checkpoint and for the same network untrained.
Bars: a layer's maps as a picture 10 times a second, and more of both attributions on the animal
than the animal's share of the frame, outside the 95 % intervals. Prints Markdown.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import torch

from edgecat.data.synthetic import draw_pet
from edgecat.deepvis import HOWS, Probe, open_probe
from edgecat.deepvis.looking import Looking, looking_at_pets
from edgecat.deepvis.pictures import tiles
from edgecat.models import build_model
from edgecat.pretrained import CHECKPOINT
from edgecat_runtime.machine import this_machine

BAR = 100.0  # ms


def main() -> int:
    """Measure, print, and return 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description="Looking into a network.")
    parser.add_argument("checkpoint", type=Path, nargs="?", default=CHECKPOINT)
    parser.add_argument("--pets", type=int, default=200)
    parser.add_argument("--frames", type=int, default=40)
    options = parser.parse_args()
    probe = open_probe(options.checkpoint)
    print("# Looking into a network\n\nWritten by `benchmarks/deepvis.py`.\n")
    print(
        f"{this_machine()}. Python {platform.python_version()}, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads. {probe.card.architecture} for {probe.card.width} by "
        f"{probe.card.height} pixels.\n"
    )
    worst = _costs(probe, options.frames)
    found = looking_at_pets(probe, options.pets)
    torch.manual_seed(0)
    untrained = looking_at_pets(Probe(build_model(probe.card), probe.card), options.pets)
    _print_looking(found, untrained)
    looks = all(
        share.mean - share.margin > found.area.mean + found.area.margin
        for share in found.inside.values()
    )
    return int(worst > BAR or not looks)


def _costs(probe: Probe, frames: int) -> float:
    """Print the median milliseconds of each view; returns those of the dearest layer's maps."""
    picture = draw_pet(0, 0, 480)[0]
    maps = [layer for layer in probe.layers if layer.spatial]
    last = probe.last_maps
    views: dict[str, Callable[[], object]] = {
        f"maps of {layer.name} as 960 x 720": _tiled(probe, picture, layer.name)
        for layer in (maps[0], maps[len(maps) // 2], maps[-1])
    }
    worst = max(_median(view, frames) for view in views.values())
    for how in HOWS:
        views[f"a unit of {last.name} back to the pixels, {how}"] = lambda how=how: probe.backprop(
            picture, last.name, 0, how=how
        )
    views["Grad-CAM"] = lambda: probe.gradcam(picture, 0)
    print("| a 480 x 480 frame | ms, median |\n| --- | --- |")
    for name, view in views.items():
        print(f"| {name} | {_median(view, frames):.1f} |")
    print()
    return worst


def _tiled(probe: Probe, picture: object, layer: str) -> Callable[[], object]:
    return lambda: tiles(
        probe.run(picture, [layer]).maps[layer],  # type: ignore[arg-type]
        width=960,
        height=720,
    )


def _median(view: Callable[[], object], frames: int) -> float:
    times = []
    for _ in range(frames + 2):
        start = perf_counter()
        view()
        times.append(1e3 * (perf_counter() - start))
    return median(times[2:])


def _print_looking(found: Looking, untrained: Looking) -> None:
    print(
        f"{found.pets} drawn pets, of which the animal takes {found.area} of the frame; "
        f"{found.accuracy:.1%} are answered right.\n"
    )
    print("| share of | on the animal | on the outline of another | on the animal, untrained |")
    print("| --- | --- | --- | --- |")
    for name, share in found.inside.items():
        cells = [name, f"**{share}**", str(found.elsewhere[name]), str(untrained.inside[name])]
        print("|", " | ".join(cells), "|")


if __name__ == "__main__":
    sys.exit(main())
