"""Measure the frame rate of the live network view: `python benchmarks/deepvis.py VIDEO`.

The shipped checkpoint processes a video as fast as it can, while a viewer in its own process
watches the page. Each layer is shown, then also with the expensive options: back-propagation of a
unit to the pixels, and Grad-CAM. Limit: the maps of any layer at 10 images per second.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import threading
import time

import torch

from edgecat.deepvis import open_probe
from edgecat.deepvis.live.panel import deepvis_panel
from edgecat.deepvis.live.session import Live, open_live
from edgecat.deepvis.results import Results
from edgecat.deepvis.state import Unit
from edgecat.pretrained import CHECKPOINT
from edgecat_runtime.system.machine import this_machine
from edgecat_runtime.web import WebPage, register_panel

BAR = 10.0
_SETTLE = 1.0
_VIEWER = (
    "import sys, urllib.request as u\n"
    "stream = u.build_opener(u.ProxyHandler({})).open(sys.argv[1])\n"
    "while stream.read(65536): pass"
)


def main() -> int:
    """Print the figures; return 1 if the limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video")
    parser.add_argument("--seconds", type=float, default=5.0, help="duration per layer")
    parser.add_argument("--kind", default="activation", help="kind of the layers; all: every layer")
    given = parser.parse_args()
    probe = open_probe(CHECKPOINT)
    page, stop = WebPage("0"), threading.Event()
    print(
        f"{this_machine()}. Python {platform.python_version()}, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads.\n"
    )
    with open_live(probe, Results(CHECKPOINT, probe.card), given.video) as live:
        register_panel(deepvis_panel(live.show, live.desk, probe.layers))
        pipeline = live.pipeline([page], stop=stop)
        loop = threading.Thread(target=pipeline.run)
        loop.start()
        address = f"{page.url.rstrip('/')}/panels/deepvis/stream?width=1280&fps=30"
        viewer = subprocess.Popen([sys.executable, "-c", _VIEWER, address])
        try:
            while live.show.newest is None and loop.is_alive():
                time.sleep(0.1)
            rates = _layers(live, given.kind, given.seconds)
        finally:
            viewer.kill()
            viewer.wait()
            stop.set()
            loop.join()
    worst = min(rates, key=lambda name: rates[name])
    print(f"\nThe slowest is {worst}: {rates[worst]:.1f} images per second; limit {BAR:g}.")
    return int(rates[worst] < BAR)


def _layers(live: Live, kind: str, seconds: float) -> dict[str, float]:
    """Print and return the rate for the maps of each layer, then print the expensive options."""
    rates = {}
    print("| | images per second |\n| --- | --- |")
    for number, layer in enumerate(live.looker.layers):
        if kind in ("all", layer.kind):
            live.desk.select(Unit(number, 0))
            rates[layer.name] = _row(live, f"maps of {layer.name}", seconds)
    for action, name in (("back", "the last layer with gradient"), ("heat", "and Grad-CAM")):
        live.desk.act(action)
        _row(live, name, seconds)
    return rates


def _row(live: Live, name: str, seconds: float) -> float:
    time.sleep(_SETTLE)
    before, start = live.show.clock.count, time.perf_counter()
    time.sleep(seconds)
    rate = (live.show.clock.count - before) / (time.perf_counter() - start)
    print(f"| {name} | {rate:.1f} |", flush=True)
    return rate


if __name__ == "__main__":
    sys.exit(main())
