"""Measure the export of full-size networks: `python benchmarks/export.py [NAME...]`.

Default: VGG16; `all`: every architecture, as published for 1,000 classes, with initial
weights. Limits without the gate (`onnx_from_model` only): 30 s, and 2 GB (2 x 10^9 bytes) of memory
beyond the model's own. The file is then sealed and compared with PyTorch's golden logits on
every available backend. Linux only: memory is read from /proc. On a busy machine, judge by the
CPU time, which is printed as well.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import perf_counter, process_time, sleep

import torch

from edgecat.models import ARCHITECTURES, architecture, build_model
from edgecat.models.checkpoint import golden_logits
from edgecat.models.cost import cost_of
from edgecat_export.graph.deployed import onnx_from_model
from edgecat_export.parity.comparison import golden_parity
from edgecat_runtime.backends import available_backends
from edgecat_runtime.model.artifact import seal_onnx
from edgecat_runtime.model.golden import preprocess_fingerprint
from edgecat_runtime.system.machine import this_machine

SECONDS_BAR, BYTES_BAR = 30.0, 2e9


def main() -> int:
    """Print the figures; return 1 if a limit is missed or a backend does not match."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "names", nargs="*", default=["vgg16"], metavar="NAME", help="an architecture, or all"
    )
    names = parser.parse_args().names
    print(f"torch {torch.__version__}, {this_machine()}")
    results = [_exported(name) for name in (ARCHITECTURES if "all" in names else names)]
    return int(not all(results))


def _exported(name: str) -> bool:
    """Export one architecture and print the cost; return whether it met the limits and verified."""
    torch.manual_seed(0)
    card = architecture(name).card(tuple(f"class {number}" for number in range(1000)))
    model, cost = build_model(card).eval(), cost_of(card)
    assert cost is not None
    with _watched() as peak:
        start, spent = perf_counter(), process_time()
        payload = onnx_from_model(model, card)
        seconds, spent = perf_counter() - start, process_time() - spent
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(
        f"{name}: {parameters / 1e6:.1f} M parameters, {cost.macs / 1e9:.2f} G multiply-adds at "
        f"{card.width}x{card.height}, {len(payload) / 1e6:.0f} MB"
    )
    print(f"  time: {seconds:.1f} s (limit {SECONDS_BAR:.0f}), CPU time {spent:.1f} s")
    print(f"  extra memory: {peak[0] / 1e9:.2f} GB (limit {BYTES_BAR / 1e9:.0f})")
    card = replace(
        card,
        golden=golden_logits(model, card),
        preprocess_golden=preprocess_fingerprint(card.height, card.width, card.fit),
    )
    passed = _verified(seal_onnx(payload, card), name)
    return passed and seconds < SECONDS_BAR and peak[0] < BYTES_BAR


def _verified(sealed: bytes, name: str) -> bool:
    """Compare the file with its golden logits on every available backend."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.onnx"
        path.write_bytes(sealed)
        pairs = [
            golden_parity(path, backend, name=path.name) for backend in available_backends(path)
        ]
    for pair in pairs:
        print(f"  {pair}")
    return bool(pairs) and all(pair.passed for pair in pairs)


@contextmanager
def _watched() -> Iterator[list[int]]:
    """Yield a list whose only entry is the peak memory in bytes above that at the start."""
    before, most, ended = _resident(), [0], threading.Event()

    def watch() -> None:
        while not ended.is_set():
            most[0] = max(most[0], _resident() - before)
            sleep(0.005)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield most
    finally:
        ended.set()
        watcher.join()


def _resident() -> int:
    """Return this process's resident memory in bytes."""
    fields = Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()
    return int(fields[0]) * 1024


if __name__ == "__main__":
    sys.exit(main())
