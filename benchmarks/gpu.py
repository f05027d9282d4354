"""Measure edgecat on this machine's NVIDIA GPU with one command.

    EDGECAT_PHOTOS=cats-dogs python benchmarks/gpu.py [CHECKPOINT] [--seconds 570]

In order of priority: the tests of tests/gpu; the ceilings (memory, transfers, matrix products);
exports to ONNX and to engines for every installed TensorRT; parity with PyTorch on
photos; the latency of edgecat's backends; and, in the same table, PyTorch eager, as a CUDA
graph and compiled, and ONNX Runtime's CUDA provider. Each row has its fraction of the floor: the
larger of the times to read every weight and to do every multiply-add. gpu-<name>.md and .json are
rewritten after each part, so that an interrupted run keeps its results.

Without CHECKPOINT a VGG16 with random weights is measured; without photos, drawn pets are used.
What cannot run is listed with the reason. `--rehearse` tries the script on a CPU.

Exit code 3: a test or a comparison failed, or there is a GPU and no engine ran on it; 4: no GPU.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from edgecat_runtime.nvidia.driver import driver
from edgecat_runtime.system.machine import this_machine

ROOT = Path(__file__).parent.parent
# Each part's fraction of the remaining time.
SHARES = {
    "tests": 0.25,
    "ceilings": 0.05,
    "exports": 0.3,
    "parity": 0.15,
    "latency": 0.15,
    "peers": 0.25,
}


def main() -> int:
    """Measure, write both files and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("checkpoint", nargs="?", type=Path)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "results")
    parser.add_argument("--seconds", type=float, default=570, help="total time")
    parser.add_argument("--parts", default=",".join(SHARES), help="in this order")
    parser.add_argument("--model", default="", help="random model: vgg16-224, vgg16-half-160")
    parser.add_argument("--rehearse", action="store_true", help="try the script on the CPU")
    options = parser.parse_args()
    parts = options.parts.split(",")
    if unknown := [part for part in parts if part not in SHARES]:
        parser.error(f"--parts {','.join(unknown)}; expected some of {', '.join(SHARES)}")
    found = driver()
    if not found.devices and not options.rehearse:
        print("No working NVIDIA GPU found; see edgecat doctor.", file=sys.stderr)
        return 4
    with tempfile.TemporaryDirectory() as folder:
        return _measured(options, parts, Path(folder))


def _measured(options: argparse.Namespace, parts: list[str], folder: Path) -> int:
    """Run the parts, each within its fraction of the remaining time."""
    import torch  # heavy: only if there is something to measure

    from on_gpu.parts import ceilings, exports, latency, parity, peers
    from on_gpu.report import Report, installed
    from on_gpu.session import DRAWN, Session, drawn_checkpoint
    from on_gpu.suite import tests

    run: dict[str, Callable[[Session, float], None]] = {
        "tests": tests,
        "ceilings": ceilings,
        "exports": exports,
        "parity": parity,
        "latency": latency,
        "peers": peers,
    }
    found = driver()
    gpu = None if options.rehearse else found.devices[0]
    report = Report(
        str(gpu or "Rehearsal"),
        f"{this_machine()}, Python {platform.python_version()}",
        found.cuda or "nothing",
        rehearsal=gpu is None,
        asked=tuple(parts),
        software=installed(),
    )
    drawn = options.model or (DRAWN[-1] if options.rehearse else DRAWN[0])
    checkpoint = options.checkpoint or drawn_checkpoint(drawn, folder)
    report.model = str(
        options.checkpoint.name if options.checkpoint else f"{drawn}, random weights"
    )
    session = Session(
        report,
        options.output,
        folder,
        checkpoint,
        torch.device("cpu" if gpu is None else "cuda"),
        None if gpu is None else gpu.limits,
        options.seconds,
    )
    for number, name in enumerate(parts):
        share = SHARES[name] / sum(SHARES[later] for later in parts[number:])
        if session.left < 3:
            session.leave_out(f"{name}: no time left")
            continue
        print(f"{name}: up to {share * session.left:.0f} of {session.left:.0f} s", flush=True)
        with session.timed(name):
            run[name](session, share * session.left)
    path = session.save()
    print(f"wrote {path} and .json in {report.seconds:.0f} s; {report.verdict}")
    return 3 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
