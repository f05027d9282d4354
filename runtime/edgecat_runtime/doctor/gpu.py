"""The checks of NVIDIA's GPUs and libraries."""

from __future__ import annotations

from importlib.util import find_spec

from edgecat_runtime.doctor.finding import Finding
from edgecat_runtime.doctor.probes import Unwell, in_child
from edgecat_runtime.errors import EdgecatError
from edgecat_runtime.machine import jetson
from edgecat_runtime.nvidia import driver
from edgecat_runtime.packages import installed
from edgecat_runtime.tensorrt_api import KINDS, Flavour


def check_driver() -> Finding:
    """Ask NVIDIA's driver for its version."""
    found = driver()
    if not found.cuda:
        fix = "Flash JetPack: its driver is missing" if jetson() else ""
        return Finding("NVIDIA driver", not fix, "none", fix)
    value = f"serves CUDA {found.cuda}"
    if found.error:
        fix = "Load the driver (nvidia-smi must list the GPU); containers need --gpus all"
        return Finding(
            "NVIDIA driver", False, f"{value}, does not start (error {found.error})", fix
        )
    return Finding("NVIDIA driver", True, value)


def check_gpu() -> Finding:
    """List NVIDIA's GPUs."""
    found = driver()
    if found.devices:
        return Finding("GPU", True, "; ".join(map(str, found.devices)))
    if found.cuda and not found.error:
        return Finding("GPU", False, "none", "Make one visible: unset CUDA_VISIBLE_DEVICES")
    return Finding("GPU", True, "none from NVIDIA")


def check_cuda() -> Finding:
    """Look at the CUDA runtime that edgecat uses, against the driver."""
    found = driver()
    number = installed("cuda-bindings")
    if not number:
        fix = "pip install 'edgecat-runtime[tensorrt]'" if found.devices else ""
        return Finding("CUDA runtime", not fix, "cuda-bindings is not installed", fix)
    value = f"cuda-bindings {number}"
    if found.devices:
        from edgecat_runtime.cuda import open_gpu

        try:
            open_gpu()
        except EdgecatError as error:
            what, _, fix = str(error).partition(". ")
            return Finding("CUDA runtime", False, f"{value}: {what}", fix)
    return Finding("CUDA runtime", True, value)


def check_tensorrt() -> Finding:
    """Load TensorRT and start its runtime."""
    return _check_tensorrt("tensorrt")


def check_tensorrt_rtx() -> Finding:
    """Load TensorRT-RTX and start its runtime."""
    return _check_tensorrt("tensorrt_rtx")


def _check_tensorrt(flavour: Flavour) -> Finding:
    kind, gpu = KINDS[flavour], bool(driver().devices)
    if all(find_spec(module) is None for module in kind.modules):
        # One flavour is enough, and without a GPU none is needed.
        wanted = gpu and flavour == "tensorrt" and find_spec("tensorrt_rtx") is None
        return Finding(kind.title, not wanted, "not installed", kind.install if wanted else "")
    try:
        number = in_child("start_tensorrt", flavour, gpu)
    except Unwell as error:
        return Finding(kind.title, False, str(error), f"Install it again: {kind.install}")
    return Finding(kind.title, True, number if gpu else f"{number}; builds, but needs a GPU to run")
