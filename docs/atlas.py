"""Create `edgecat/pretrained/atlas`: an image of every unit of the bundled model.

    .venv/bin/python docs/atlas.py FOLDER

FOLDER keeps the synthesised images, so that a run that was stopped continues. They are made like
those of `edgecat deepvis synthesise`, but on frames of 96 pixels and in bfloat16, which takes about
three quarters of an hour on two cores with AMX instead of several.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import torch

from edgecat.deepvis.atlas import ATLAS, COLUMNS, FACTS, SIDE, tile
from edgecat.deepvis.layers import Layer
from edgecat.deepvis.probe import Probe, open_probe
from edgecat.deepvis.rendering import sheet
from edgecat.deepvis.results import Results
from edgecat.deepvis.synthesise import Synthesis, synthesise_all
from edgecat.pretrained import CHECKPOINT
from edgecat_runtime.system.machine import this_machine

FRAME, QUALITY = 96, 60


def main() -> None:
    """Synthesise what FOLDER lacks, then write the sheets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    whole = open_probe(CHECKPOINT)
    whole.model.to(memory_format=torch.channels_last)
    probe = Probe(whole.model, replace(whole.card, height=FRAME, width=FRAME))
    results, how = Results(folder / CHECKPOINT.name, whole.card), Synthesis()
    layers = [layer for layer in probe.layers if layer.kind in ("activation", "logits")]
    for layer in layers[::-1]:
        with torch.autocast("cpu", torch.bfloat16):
            synthesise_all(probe, results, [(layer, range(layer.units))], how)
        sys.stdout.write(f"{layer}: {layer.units} units\n")
    ATLAS.mkdir(exist_ok=True)
    size = sum(_written(results, layer) for layer in layers)
    facts = {
        "payload_sha256": whole.card.payload_sha256,
        "frame": FRAME,
        "settings": asdict(how),
        "made_on": f"{this_machine()}, torch {torch.__version__}",
    }
    (ATLAS / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    units = sum(layer.units for layer in layers)
    sys.stdout.write(f"{units:,} units, {size / 1e6:.2f} MB in {ATLAS}\n")


def _written(results: Results, layer: Layer) -> int:
    """Write a layer's sheet; its size in bytes."""
    pictures = [
        cv2.imread(str(results.path("synthesised", layer.name, u))) for u in range(layer.units)
    ]
    tiles = [tile(picture, layer.field.rows.size) for picture in pictures]
    grid = sheet(tiles, side=SIDE, columns=min(COLUMNS, len(tiles)), gap=0)
    data = cv2.imencode(".webp", grid, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])[1].tobytes()
    (ATLAS / f"{layer.name}.webp").write_bytes(data)
    return len(data)


if __name__ == "__main__":
    main()
