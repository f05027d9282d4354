"""How many pictures a second the live look shows: `python benchmarks/deepvis.py VIDEO`.

The shipped checkpoint looks at a video as fast as it can, while a viewer in a process of its own
watches the page. Layer after layer is shown, without and with what costs more: a unit taken back to
the pixels, and Grad-CAM. Bar: the maps of any layer at 10 pictures a second.
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
    """Print the figures; 1 where the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each layer")
    parser.add_argument("--kind", default="activation", help="of the layers; all: every layer")
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
    print(f"\nThe slowest is {worst}: {rates[worst]:.1f} pictures a second; bar {BAR:g}.")
    return int(rates[worst] < BAR)


def _layers(live: Live, kind: str, seconds: float) -> dict[str, float]:
    """Print and return the rate of the maps of each layer, then print those of what costs more."""
    rates = {}
    print("| | pictures a second |\n| --- | --- |")
    for number, layer in enumerate(live.looker.layers):
        if kind in ("all", layer.kind):
            live.desk.select(Unit(number, 0))
            rates[layer.name] = _row(live, f"maps of {layer.name}", seconds)
    for action, name in (("back", "the last of these, gradient"), ("heat", "and Grad-CAM")):
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
