"""Measure how well each backend and precision uses this CPU.

    python benchmarks/precision.py > docs/results/precision.md

VGG16 at 224x224, one image at a time on two threads: PyTorch (the better of its two memory
layouts), ONNX Runtime and OpenVINO in float32, and the latter two in int8, as written by
`edgecat export`. Each is reported as a fraction of the machine's own peak in its precision.

The peak is measured in the same run, with kernels of equal layers whose operands fit the
caches, exported, quantised and run like the network. The fastest call of any kernel in any library
is the peak: what software achieves on two threads here, whether two cores or two hyperthreads of
one. All are interleaved, and speed is compared within a round, as in `edgecat benchmark`.

Limits: ONNX Runtime's or OpenVINO's float32 reaches 0.6 of the float32 peak and is not slower than
PyTorch; int8 reaches 0.5 of the int8 peak; on CPUs that accumulate int8 products in 32 bits
(VNNI, AMX, dot products), int8 is 3.5 times as fast as PyTorch's float32, elsewhere it is not
slower than float32, or edgecat does not choose it. Prints Markdown; exit code 3: a limit is missed.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from edgecat.models import architecture, build_model
from edgecat.models.backend import TorchBackend
from edgecat.models.cost import cost_of
from edgecat_export.graph.deployed import onnx_from_model
from edgecat_export.precision.int8 import int8_from_onnx
from edgecat_export.precision.prepare import prepared
from edgecat_export.precision.scan import scan
from edgecat_runtime.backends import Backend, available_backends, open_backend
from edgecat_runtime.backends.choice import FASTER
from edgecat_runtime.benchmark import Result, Subject, measure
from edgecat_runtime.classifier import Classifier
from edgecat_runtime.model.card import ModelCard, Precision
from edgecat_runtime.model.golden import golden_frames
from edgecat_runtime.system.machine import int8_path, read_text, this_machine
from edgecat_runtime.system.packages import versions

PACKAGES = ("torch", "onnxruntime", "openvino")
LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
FP32_SHARE, INT8_SHARE, INT8_RATIO = 0.6, 0.5, 3.5
SUMS_IN_32_BITS = ("amx", "vnni", "i8mm", "dot product")


@dataclass(frozen=True)
class Network:
    """A network to export and measure.

    Attributes:
        name: name in the results.
        model: maps normalised images to logits.
        card: its card.
        macs: multiply-adds per image.
    """

    name: str
    model: nn.Module
    card: ModelCard
    macs: int


@dataclass(frozen=True)
class Row:
    """The result of the network on one backend.

    Attributes:
        name: backend, precision and, for PyTorch, the memory layout.
        precision: `fp32` or `int8`.
        p50: median latency in milliseconds.
        p90: its 90th percentile.
        gmacs: 10^9 multiply-adds per second at the median.
        share: fraction of the machine's peak in this precision, 0..1.
        ratio: speed relative to PyTorch's.
        steady: whether the latency was steady at the end of the warm-up.
    """

    name: str
    precision: str
    p50: float
    p90: float
    gmacs: float
    share: float
    ratio: float
    steady: bool


@dataclass(frozen=True)
class Bar:
    """A limit, the measured value, and whether it is met."""

    name: str
    measured: str
    passed: bool


def main() -> int:
    """Measure, print, and return 3 if a limit is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2.0, help="per variant, without warm-up")
    parser.add_argument("--json", action="store_true", help="print JSON instead of Markdown")
    options = parser.parse_args()
    threads = options.threads
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network, layers = vgg16(), kernels()
    with tempfile.TemporaryDirectory() as folder:
        open_here = partial(opened, folder=Path(folder), threads=threads)
        subjects = [subject for each in (network, *layers) for subject in open_here(each)]
        results = measure(subjects, seconds=options.seconds)
    peaks = highest(results, {each.name: each.macs for each in layers})
    table = rows(results, network, peaks)
    bars = verdicts(table, int8_path())
    if options.json:
        lists = {"rows": [asdict(row) for row in table], "bars": [asdict(bar) for bar in bars]}
        print(json.dumps({"machine": machine(threads), "peaks": peaks} | lists, indent=2))
    else:
        print(markdown(machine(threads), peaks, table, bars))
    return 0 if all(bar.passed for bar in bars) else 3


def vgg16() -> Network:
    """VGG16 as published, for two classes, with random weights."""
    widths = architecture("vgg16").widths(head="dense")
    card = ModelCard("vgg16", ("cat", "dog"), 224, 224, layers=widths, head="dense")
    cost = cost_of(card)
    assert cost is not None
    return Network("vgg16", build_model(card).eval(), card, cost.macs)


def kernels() -> list[Network]:
    """Make classifiers of 32x32 images from equal layers; the fastest differs by library."""
    return [
        kernel("3x3 convolutions", [nn.Conv2d(256, 256, 3, padding=1) for _ in range(6)], 1024),
        kernel("1x1 convolutions", [nn.Conv2d(512, 512, 1) for _ in range(16)], 1024),
        kernel("matrix products", [nn.Linear(1024, 1024) for _ in range(4)], 768),
    ]


def kernel(name: str, layers: Sequence[nn.Conv2d | nn.Linear], places: int) -> Network:
    """Make a kernel of equal layers, each weight used at `places` positions of an image."""
    dense = isinstance(layers[0], nn.Linear)  # applied to the pixels of each channel
    width = places if dense else len(layers[0].weight)
    body = [nn.Flatten(2), *layers] if dense else [*layers, nn.Flatten(2)]
    pooled = (nn.AdaptiveAvgPool1d(1), nn.Flatten())
    model = nn.Sequential(nn.Conv2d(3, width, 1), *body, *pooled).eval()
    card = ModelCard("kernel", tuple(map(str, range(width))), 32, 32)
    return Network(name, model, card, places * sum(layer.weight.numel() for layer in layers))


def opened(network: Network, folder: Path, threads: int) -> list[Subject]:
    """Return the network in PyTorch, and exported in both precisions to the installed libraries."""
    payload = onnx_from_model(network.model, network.card)
    ready = prepared(payload)
    frames = golden_frames(network.card.height, network.card.width)
    forms: dict[Precision, bytes] = {
        "fp32": payload,
        "int8": int8_from_onnx(ready, scan(ready, frames).ranges("minmax")),
    }
    found = []
    for name, layout in LAYOUTS.items():
        backend: Backend = TorchBackend(laid(network.model, layout), network.card)
        found.append(Subject(f"{network.name}, {name}", Classifier(backend, network.card)))
    for precision, form in forms.items():
        path = folder / f"{network.name}.{precision}.onnx"
        path.write_bytes(form)
        card = replace(network.card, precision=precision)
        for library in available_backends(path, device="cpu"):
            if library in PACKAGES:
                backend = open_backend(path, card, name=library, device="cpu", threads=threads)
                found.append(Subject(network.name, Classifier(backend, card)))
    return found


def laid(model: nn.Module, layout: torch.memory_format) -> nn.Module:
    """Return a copy with a given memory layout for weights and images."""
    copied: nn.Module = copy.deepcopy(model).to(memory_format=layout)  # type: ignore[call-overload]
    copied.register_forward_pre_hook(lambda _, images: images[0].contiguous(memory_format=layout))
    return copied


def highest(results: Sequence[Result], macs: Mapping[str, int]) -> dict[str, dict[str, float]]:
    """Return the best kernel rate by precision and library, in 10^9 multiply-adds/s."""
    peaks: dict[str, dict[str, float]] = {}
    for result in results:
        rate = macs.get(result.model.partition(", ")[0], 0) / min(result.samples_ms) / 1e6
        if rate:
            best = peaks.setdefault(result.precision, {})
            best[result.backend] = max(rate, best.get(result.backend, 0.0))
    return peaks


def rows(
    results: Sequence[Result], network: Network, peaks: Mapping[str, Mapping[str, float]]
) -> list[Row]:
    """Return the rows of the network's results, without the kernels."""
    mine = [result for result in results if result.model.partition(", ")[0] == network.name]
    pytorch = max(result.speed for result in mine if result.backend == "pytorch")
    rates = [network.macs / result.latency_ms["p50"] / 1e6 for result in mine]
    return [
        Row(
            f"{result.backend} {result.precision}{result.model.removeprefix(network.name)}",
            result.precision,
            result.latency_ms["p50"],
            result.latency_ms["p90"],
            rate,
            rate / max(peaks[result.precision].values()),
            result.speed / pytorch,
            result.steady,
        )
        for result, rate in zip(mine, rates, strict=True)
    ]


def verdicts(table: Sequence[Row], path: str) -> list[Bar]:
    """Check the faster library in each precision against the limits for this int8 path."""
    served = [row for row in table if not row.name.startswith("pytorch")]
    fp32, int8 = (
        max((row for row in served if row.precision == name), key=lambda row: row.ratio)
        for name in ("fp32", "int8")
    )
    bars = [
        (f"float32 at {FP32_SHARE} of the peak", fp32, fp32.share, fp32.share >= FP32_SHARE),
        ("float32 not slower than PyTorch", fp32, fp32.ratio, fp32.ratio >= 1),
        (f"int8 at {INT8_SHARE} of the peak", int8, int8.share, int8.share >= INT8_SHARE),
    ]
    if path in SUMS_IN_32_BITS:
        name = f"int8 at {INT8_RATIO} times PyTorch's float32 ({path})"
        bars.append((name, int8, int8.ratio, int8.ratio >= INT8_RATIO))
    else:  # the second form is chosen if it needs less than FASTER of the first's time
        times = int8.ratio / fp32.ratio
        name = f"int8 not slower than float32, or not chosen ({path})"
        bars.append((name, int8, times, times >= 1 or times < FASTER))
    return [Bar(name, f"{value:.2f}, {row.name}", passed) for name, row, value, passed in bars]


def machine(threads: int) -> str:
    """Describe CPU, threads, physical cores, and library versions."""
    affinity = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set[int]()
    topology = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    cores = {read_text(Path(topology.format(number))) for number in affinity} - {""}
    on = f" on {len(cores)} physical cores" if cores else ""
    libraries = [library for name in PACKAGES for library in versions(name)]
    return (
        f"{this_machine()}; {threads} threads{on}; int8 path: {int8_path()}. Python "
        f"{platform.python_version()}, {', '.join(libraries)}."
    )


def markdown(
    where: str, peaks: Mapping[str, Mapping[str, float]], table: Sequence[Row], bars: Sequence[Bar]
) -> str:
    """Return the figures as a Markdown page."""
    names = list(dict.fromkeys(name for rates in peaks.values() for name in rates))
    kernels = [
        [kind, *(f"{rates[name]:,.0f}" if name in rates else "" for name in names)]
        for kind, rates in peaks.items()
    ]
    network = [
        [
            row.name + ("" if row.steady else " (not steady)"),
            *(f"{row.p50:.1f}", f"{row.p90:.1f}", f"{row.gmacs:,.0f}"),
            *(f"{row.share:.0%}", f"{row.ratio:.2f}"),
        ]
        for row in table
    ]
    held = [[bar.name, bar.measured, "met" if bar.passed else "**missed**"] for bar in bars]
    sections = [
        "# CPU utilisation by precision",
        "Written by `benchmarks/precision.py`: VGG16 at 224x224, one image at a time.",
        where,
        "The peak in each precision is the best kernel of the best library, in GMAC/s:",
        _table(["kernels", *names], *kernels),
        _table(["VGG16", "p50 ms", "p90 ms", "GMAC/s", "of peak", "vs PyTorch"], *network),
        _table(["bar", "measured", ""], *held),
    ]
    return "\n\n".join(sections)


def _table(*lines: Sequence[str]) -> str:
    head, *body = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([head, "| --- " * len(lines[0]) + "|", *body])


if __name__ == "__main__":
    sys.exit(main())
