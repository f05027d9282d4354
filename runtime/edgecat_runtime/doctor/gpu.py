"""Checks of NVIDIA's GPUs and libraries."""

from __future__ import annotations

from importlib.util import find_spec

from edgecat_runtime.doctor.finding import Finding
from edgecat_runtime.doctor.probes import NotServed, Reason, Unwell, in_child, listed, on_each_gpu
from edgecat_runtime.nvidia.driver import driver
from edgecat_runtime.nvidia.tensorrt import KINDS, Flavour, Kind
from edgecat_runtime.system.machine import jetson
from edgecat_runtime.system.packages import installed


def check_driver() -> Finding:
    """Check the version of NVIDIA's driver."""
    found = driver()
    if not found.cuda:
        fix = "Flash JetPack: the driver is missing" if jetson() else ""
        return Finding("NVIDIA driver", not fix, "none", fix)
    value = f"supports CUDA {found.cuda}"
    if found.error:
        fix = "Load the driver (nvidia-smi must list the GPU); containers need --gpus all"
        return Finding(
            "NVIDIA driver", False, f"{value}, cannot be started (error {found.error})", fix
        )
    return Finding("NVIDIA driver", True, value)


def check_gpu() -> Finding:
    """List NVIDIA's GPUs."""
    found = driver()
    if found.devices:
        return Finding("GPU", True, "; ".join(map(str, found.devices)))
    if found.cuda and not found.error:
        return Finding("GPU", False, "none", "Make a GPU visible: unset CUDA_VISIBLE_DEVICES")
    return Finding("GPU", True, "no NVIDIA GPU")


def check_cuda() -> Finding:
    """Copy a tiny tensor to every GPU and back, through the CUDA runtime that edgecat uses."""
    name, number = "CUDA runtime", installed("cuda-bindings")
    if not number:
        fix = "pip install 'edgecat-runtime[tensorrt]'" if driver().devices else ""
        return Finding(name, not fix, "cuda-bindings is not installed", fix)
    found = on_each_gpu("run_tensor")
    value = f"cuda-bindings {number}"
    if not found:
        return Finding(name, True, value)
    said = f"{value}: {listed(found, 'copies a tensor')}"
    failed = next(filter(None, found.values()), Reason())
    fix = failed.fix or "Look for the GPU with nvidia-smi, and restart the machine"
    return Finding(name, not failed, said, fix if failed else "")


def check_tensorrt() -> Finding:
    """Load TensorRT, and build and run a tiny engine on every GPU."""
    return _check_tensorrt("tensorrt")


def check_tensorrt_rtx() -> Finding:
    """Load TensorRT-RTX, and build and run a tiny engine on every GPU."""
    return _check_tensorrt("tensorrt_rtx")


def _check_tensorrt(flavour: Flavour) -> Finding:
    kind, gpus = KINDS[flavour], driver().devices
    if not _found(kind):
        # One flavour is enough, and without a GPU none is needed.
        wanted = bool(gpus) and flavour == "tensorrt" and not _found(KINDS["tensorrt_rtx"])
        return Finding(kind.title, not wanted, "not installed", kind.install if wanted else "")
    try:
        number = in_child("tensorrt_version", flavour)
    except Unwell as error:
        return Finding(kind.title, False, str(error), f"Reinstall it: {kind.install}")
    if not gpus:
        return Finding(kind.title, True, f"{number}; builds engines, no GPU to run them")
    return _engines_found(kind, number, on_each_gpu("run_engine", flavour))


def _found(kind: Kind) -> bool:
    return any(find_spec(module) is not None for module in kind.modules)


def _engines_found(kind: Kind, number: str, found: dict[str, Reason]) -> Finding:
    """What became of an engine on each GPU."""
    value = f"{number}: {listed(found, 'runs an engine')}"
    failed = [why for why in found.values() if why]
    if not failed:
        return Finding(kind.title, True, value)
    if all(why.kind == NotServed.__name__ for why in failed):
        return Finding(kind.title, False, value, "Serve ONNX files: pip install onnxruntime-gpu")
    return Finding(kind.title, False, value, f"Reinstall it: {kind.install}")
