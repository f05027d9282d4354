"""Measure whether a network looks at the animal: attribution inside drawn pets of known outline.

    python benchmarks/looking.py [CHECKPOINT] [--pets 100] > docs/results/looking.md

Prints the share of Grad-CAM and of occlusion on the animal, for the checkpoint and for the same
network untrained. Bar: for both more than the animal's share of the frame and more than the
untrained network, outside the 95 % confidence intervals. Prints Markdown.
"""

from __future__ import annotations

import argparse
import platform
import sys
from pathlib import Path

import torch

from edgecat.deepvis import Probe, open_probe
from edgecat.deepvis.looking import Looking, looking_at_pets
from edgecat.models import build_model
from edgecat.pretrained import CHECKPOINT
from edgecat_runtime.system.machine import this_machine


def main() -> int:
    """Measure, print, and return 1 if a limit is missed."""
    parser = argparse.ArgumentParser(description="Is it looking at the animal?")
    parser.add_argument("checkpoint", type=Path, nargs="?", default=CHECKPOINT)
    parser.add_argument("--pets", type=int, default=100)
    options = parser.parse_args()
    probe = open_probe(options.checkpoint)
    print("# Is it looking at the animal?\n\nWritten by `benchmarks/looking.py`.\n")
    print(
        f"{this_machine()}. Python {platform.python_version()}, torch {torch.__version__}. "
        f"{probe.card.architecture} for {probe.card.width} by "
        f"{probe.card.height} pixels.\n"
    )
    found = looking_at_pets(probe, options.pets)
    torch.manual_seed(0)
    untrained = looking_at_pets(Probe(build_model(probe.card), probe.card), options.pets)
    _print_looking(found, untrained)
    looks = all(
        share.mean - share.margin > other.mean + other.margin
        for name, share in found.inside.items()
        for other in (found.area, untrained.inside[name])
    )
    return int(not looks)


def _print_looking(found: Looking, untrained: Looking) -> None:
    print(
        f"{found.pets} drawn pets; the animal covers {found.area} of the frame; "
        f"accuracy {found.accuracy:.1%}.\n"
    )
    print("| share of | on the animal | on another image's outline | on the animal, untrained |")
    print("| --- | --- | --- | --- |")
    for name, share in found.inside.items():
        cells = [name, f"**{share}**", str(found.elsewhere[name]), str(untrained.inside[name])]
        print("|", " | ".join(cells), "|")


if __name__ == "__main__":
    sys.exit(main())
