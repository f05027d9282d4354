"""Measure what export gains on a CPU: `python benchmarks/precision.py`.

VGG16 at 224x224, one frame at a time, in one run and on the same frames: PyTorch in float32
(inference mode, the better of its two memory layouts), ONNX Runtime in float32, ONNX Runtime in
int8. The bar on a CPU with VNNI or dot-product instructions is 1 : 1.4 : 6. Contenders take turns,
so that a slow moment of the machine meets all of them; the ratio is of medians. Weights are drawn:
speed does not depend on them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import onnxruntime
import torch
from torch import nn

from edgecat.models import architecture, build_model
from edgecat.models.frames import input_from_frames
from edgecat.pets.synthetic import synthetic_pets
from edgecat_export.graph.deployed import onnx_from_model
from edgecat_export.precision.conversion import prepared
from edgecat_export.precision.int8 import int8_from_onnx
from edgecat_export.precision.scan import scan
from edgecat_runtime.backends.onnxruntime import OnnxRuntimeBackend
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.types import Frames

SIZE = 224
BARS = {"onnxruntime fp32": 1.4, "onnxruntime int8": 6.0}


@dataclass(frozen=True)
class Contender:
    """Something that answers one frame."""

    name: str
    answer: Callable[[Frames], object]


def main() -> int:
    """Print the medians and their ratio; exit with 3 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=20, help="turns of every contender")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    frames, _ = synthetic_pets(8, seed=0, size=SIZE)
    with tempfile.TemporaryDirectory() as folder:
        times = timed(contenders(frames, Path(folder), options.threads), frames, options.rounds)
    report = summary(times)
    if options.json:
        print(json.dumps({"machine": machine(options.threads), "ms": report}, indent=2))
    else:
        print(machine(options.threads))
        for name, row in report.items():
            print(
                f"{name:<24} {row['p50']:7.1f} ms  (p90 {row['p90']:.1f})  1 : {row['ratio']:.2f}"
            )
    return 0 if all(report[name]["ratio"] >= bar for name, bar in BARS.items()) else 3


def contenders(frames: Frames, folder: Path, threads: int) -> list[Contender]:
    """The same network as PyTorch modules and as ONNX files."""
    widths = architecture("vgg16").widths(head="dense")
    card = ModelCard("vgg16", ("cat", "dog"), SIZE, SIZE, layers=widths, head="dense")
    torch.manual_seed(0)
    model = build_model(card).eval()
    payload = onnx_from_model(model, card)
    (folder / "fp32.onnx").write_bytes(payload)
    optimised = prepared(payload)
    ranges = scan(optimised, frames[:4]).ranges("minmax")
    (folder / "int8.onnx").write_bytes(int8_from_onnx(optimised, ranges))
    return [
        Contender("pytorch fp32 contiguous", torch_answer(model, card, torch.contiguous_format)),
        Contender("pytorch fp32 channels", torch_answer(model, card, torch.channels_last)),
        *(
            Contender(
                f"onnxruntime {name}",
                OnnxRuntimeBackend(folder / f"{name}.onnx", threads=threads).infer,
            )
            for name in ("fp32", "int8")
        ),
    ]


def torch_answer(
    model: nn.Module, card: ModelCard, layout: torch.memory_format
) -> Callable[[Frames], object]:
    """A function that answers a batch of frames with the module in one memory layout."""
    import copy

    laid: nn.Module = copy.deepcopy(model).to(memory_format=layout)  # type: ignore[call-overload]

    def answer(frames: Frames) -> object:
        with torch.inference_mode():
            images = input_from_frames(torch.from_numpy(frames), card)
            return laid(images.contiguous(memory_format=layout))

    return answer


def timed(rivals: list[Contender], frames: Frames, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of every contender, taking turns; each turn's first frame is warm-up."""
    times: dict[str, list[float]] = {rival.name: [] for rival in rivals}
    for number in range(rounds):
        frame = frames[number % len(frames)][None]
        for rival in rivals:
            rival.answer(frame)
            start = perf_counter()
            rival.answer(frame)
            times[rival.name].append((perf_counter() - start) * 1e3)
    return times


def summary(times: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Median, 90th percentile and speed relative to PyTorch's better layout."""
    best = min(median(values) for name, values in times.items() if name.startswith("pytorch"))
    return {
        name: {
            "p50": median(values),
            "p90": float(np.percentile(values, 90)),
            "ratio": best / median(values),
        }
        for name, values in times.items()
    }


def machine(threads: int) -> str:
    """What the figures were measured on."""
    capability = torch.backends.cpu.get_cpu_capability()
    return (
        f"{platform.machine()} ({capability}), {threads} threads, Python "
        f"{platform.python_version()}, torch {torch.__version__}, onnxruntime "
        f"{onnxruntime.__version__}"
    )


if __name__ == "__main__":
    sys.exit(main())
