"""Test whether TensorRT-RTX runs on this GPU, per compute capability and as a CUDA graph.

    python rtx_probe.py MODEL.onnx

Exit code 0: at least one variant ran; 3: none did; 4: no GPU, or no TensorRT-RTX.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgecat_runtime.backends.tensorrt import TensorRTBackend
from edgecat_runtime.errors import EdgecatError
from edgecat_runtime.model.artifact import read_card
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.golden import golden_frames
from edgecat_runtime.nvidia.cuda import open_gpu
from edgecat_runtime.nvidia.tensorrt import TensorRT, tensorrt

TARGETS = (
    (),
    ("CURRENT",),
    ("SM80",),
    ("SM89",),
    ("SM120",),
    ("SM80", "SM86", "SM89", "SM120"),
)


def built(api: TensorRT, source: Path, targets: tuple[str, ...], *, capturable: bool) -> Any:
    """Build an engine for these compute capabilities; None if that fails."""
    trt, card = api.trt, read_card(source)
    builder = trt.Builder(api.logger)
    network = builder.create_network(api.network_flags)
    parser = trt.OnnxParser(network, api.logger)
    if not parser.parse(source.read_bytes()):
        return None
    network.name = card.to_json(labels=card.fits)
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    shape = (card.height, card.width, 3)
    profile.set_shape(network.get_input(0).name, (1, *shape), (1, *shape), (8, *shape))
    config.add_optimization_profile(profile)
    if capturable:
        api.make_capturable(config)
    config.num_compute_capabilities = len(targets)
    for index, name in enumerate(targets):
        config.set_compute_capability(getattr(trt.ComputeCapability, name), index)
    return builder.build_serialized_network(network, config)


def tried(api: TensorRT, plan: Any, card: ModelCard) -> tuple[bool, str]:
    """Return whether an engine runs, with a description."""
    validity, why = api.trt.Runtime(api.logger).get_engine_validity(plan)
    members = api.trt.EngineInvalidityDiagnostics.__members__.items()
    causes = ", ".join(name for name, value in members if int(value) & int(why))
    said = f"{memoryview(plan).nbytes / 1e6:.1f} MB, {validity.name} {causes}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.rtx"
        path.write_bytes(plan)
        try:
            run = TensorRTBackend(path, card, flavour="tensorrt_rtx")
        except EdgecatError as error:
            return False, f"{said}; rejected: {error}"
        try:
            return True, f"{said}; {answered(run, card)}"
        except EdgecatError as error:
            return False, f"{said}; opened, but failed to run: {error}"
        finally:
            run.close()


def answered(run: TensorRTBackend, card: ModelCard) -> str:
    """Run the first golden frame often enough that a graph is replayed; describe the result."""
    frame = golden_frames(card.height, card.width)[:1]
    for _ in range(6):
        logits = run.infer(frame)
    apart = np.abs(logits - np.asarray(card.golden, np.float32)[:1]).max()
    graph = "replayed" if run._graph is not None else "NOT recorded"
    return f"RUNS: logits off by {apart:.1e}, GPU {run.gpu_ms:.3f} ms, graph {graph}"


def main() -> int:
    """Try every variant, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    source = parser.parse_args().model
    try:
        gpu, api = open_gpu(), tensorrt("tensorrt_rtx")
    except EdgecatError as error:
        print(f"rtx_probe: {error}", file=sys.stderr)
        return 4
    served, worked = ", ".join(map(str, api.served)), False
    print(f"{api} on {gpu}; it builds for: {served}")
    for targets in TARGETS:
        for capturable in (False, True):
            name = f"{'+'.join(targets) or 'default'}{', user allocation' if capturable else ''}"
            api.log.clear()
            start = time.monotonic()
            plan = built(api, source, targets, capturable=capturable)
            if plan is None:
                print(f"{name}: build failed: {api.log.first_error}")
                continue
            ran, said = tried(api, plan, read_card(source))
            print(f"{name}: {time.monotonic() - start:.1f} s, {said}", flush=True)
            worked = worked or ran
    return 0 if worked else 3


if __name__ == "__main__":
    sys.exit(main())
