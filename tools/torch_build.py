"""Before the set-up: is pip about to fetch PyTorch's CUDA build onto a machine without a GPU?

    python tools/torch_build.py

On Linux, pip takes torch from the index that it is configured for, usually as the CUDA build: some
3 GB with its libraries, where the CPU build has 0.2 GB. This asks pip what it would install,
without installing it, and says so in time. It never fails and never asks: the set-up goes on.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SECONDS = 10
NOTE = f"""\
note: pip is about to install {{what}}, PyTorch's CUDA build: about 3 GB with its libraries, and no
NVIDIA GPU was found on this machine. The CPU build has 0.2 GB. To install that one instead, press
Ctrl-C within {SECONDS} seconds and give its index, the --index-url that the selector at pytorch.org
shows for "CPU":  make TORCH_INDEX=URL
"""
_GPU = ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/nvhost-ctrl", "/dev/nvmap", "/dev/dxg")
_CUDA = ("nvidia-", "cuda-")


def main() -> None:
    """Print a note, and wait, if it applies."""
    if not sys.platform.startswith("linux") or has_gpu():
        return
    if what := cuda_build(asked_of_pip()):
        print(NOTE.format(what=what), file=sys.stderr, flush=True)
        time.sleep(SECONDS)


def has_gpu(places: Sequence[str] = _GPU) -> bool:
    """Whether there is an NVIDIA GPU, or something that may be one (a Jetson, WSL)."""
    return shutil.which("nvidia-smi") is not None or any(Path(path).exists() for path in places)


def asked_of_pip() -> dict[str, Any]:
    """What pip would install for torch, as its own report; empty if it cannot say."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps"]
    command += ["--constraint", str(ROOT / "constraints.txt"), "--report", "-", "torch"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        found: dict[str, Any] = json.loads(ran.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return {}
    return found


def cuda_build(report: dict[str, Any]) -> str:
    """The torch in a report if it needs NVIDIA's libraries, as `torch 2.13.0`; else nothing."""
    for item in report.get("install", ()):
        metadata = item.get("metadata", {})
        needed = [line for line in metadata.get("requires_dist", ()) if line.startswith(_CUDA)]
        if metadata.get("name") == "torch" and any("extra ==" not in line for line in needed):
            return f"torch {metadata['version']}"
    return ""


if __name__ == "__main__":
    main()
