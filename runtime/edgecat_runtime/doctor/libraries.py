"""Checks of OpenCV, ONNX Runtime and torch, and of whether a model can be served at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from edgecat_runtime.backends import available_backends
from edgecat_runtime.doctor.finding import Finding
from edgecat_runtime.doctor.probes import (
    GPU_PROVIDERS,
    Reason,
    Unwell,
    in_child,
    listed,
    on_each_gpu,
    why_not,
)
from edgecat_runtime.errors import EdgecatError
from edgecat_runtime.nvidia.driver import driver
from edgecat_runtime.nvidia.tensorrt import KINDS
from edgecat_runtime.system.machine import jetson
from edgecat_runtime.system.opencv import cv2_module
from edgecat_runtime.system.packages import OPENCV_WHEELS, ORT_WHEELS, installed, wheels
from edgecat_runtime.system.plugins import find_plugins

SERVES = "serves"
"""Name of the finding that decides whether the machine can serve a model at all."""


def check_opencv() -> Finding:
    """Check that OpenCV can be imported; it decodes, resizes and displays."""
    try:
        cv2 = cv2_module()
    except EdgecatError as error:
        cause, fix = error.__cause__, error.fix
        absent = isinstance(cause, ModuleNotFoundError) and cause.name == "cv2"
        if not absent and "numpy" in str(cause):  # OpenCV's own sentence
            fix = "This OpenCV needs an older numpy: pip install 'numpy<2'"
        return Finding("OpenCV", False, error.what, fix)
    return Finding("OpenCV", True, f"{cv2.__version__} from {Path(str(cv2.__file__)).parent}")


def check_opencv_wheels() -> Finding:
    """Find OpenCV wheels that overwrite each other, or hide JetPack's OpenCV."""
    found = wheels(OPENCV_WHEELS)
    name, value = "OpenCV wheels", ", ".join(found) or "none"
    if len(found) > 1:
        kept = min(found, key=len)
        fix = f"Keep one: pip uninstall -y {' '.join(found)}, then pip install {kept}"
        return Finding(name, False, f"{value} overwrite each other", fix)
    if found and jetson():
        fix = f"pip uninstall -y {value}, in a venv made with --system-site-packages"
        return Finding(name, False, f"{value} hides JetPack's OpenCV and its GStreamer", fix)
    return Finding(name, True, value)


def check_ffmpeg() -> Finding:
    """Check whether OpenCV reads and writes video files, and turns those of phones upright."""
    if missing := _without_opencv("FFmpeg"):
        return missing
    if _has_video("CAP_FFMPEG"):
        if fault := why_not("edgecat_runtime.doctor.video:read_turned_clip"):
            fix = "Use another OpenCV: pip install --upgrade opencv-python-headless"
            return Finding("FFmpeg", False, f"supported by OpenCV, but {fault}", fix)
        return Finding("FFmpeg", True, "supported by OpenCV; phone videos are upright")
    fix = "For video files and recording: pip install opencv-python-headless"
    return Finding("FFmpeg", False, "not supported by this OpenCV", fix)


def check_gstreamer() -> Finding:
    """Check whether OpenCV opens GStreamer pipelines, which a Jetson's CSI cameras need."""
    if missing := _without_opencv("GStreamer"):
        return missing
    if _has_video("CAP_GSTREAMER"):
        return Finding("GStreamer", True, "supported by OpenCV")
    if jetson() is None:
        return Finding(
            "GStreamer", True, "not supported by this OpenCV; only a Jetson's CSI cameras need it"
        )
    fix = "Use JetPack's OpenCV, not pip's: a venv made with --system-site-packages"
    return Finding("GStreamer", False, "not supported by this OpenCV", fix)


def _without_opencv(name: str) -> Finding | None:
    """The finding about an OpenCV feature if OpenCV itself is missing; else None."""
    opencv = check_opencv()
    return None if opencv.ok else Finding(name, False, "needs OpenCV", opencv.fix)


def _has_video(backend: str) -> bool:
    """Whether OpenCV has a video backend; `getBackends` would also list absent plugins."""
    cv2 = cv2_module()
    return bool(cv2.videoio_registry.hasBackend(getattr(cv2, backend)))


def check_onnxruntime() -> Finding:
    """Start every ONNX Runtime provider with a real session, and name those that fall back."""
    name, found = "ONNX Runtime", wheels(ORT_WHEELS)
    if find_spec("onnxruntime") is None:
        fix = "pip install 'edgecat-runtime[onnx]' (or [onnx-gpu], never both)"
        return Finding(name, False, "not installed", fix)
    if len(found) > 1:
        fix = f"Keep one: pip uninstall -y {' '.join(found)}, then install the one you want"
        return Finding(name, False, f"{' and '.join(found)} overwrite each other", fix)
    try:
        number, providers = in_child("ort_providers")
    except Unwell as error:
        fix = "Reinstall it: pip install --force-reinstall onnxruntime"
        return Finding(name, False, f"cannot be imported ({error})", fix)
    return _providers_found(number, _started(providers))


def _started(providers: Sequence[str]) -> dict[str, Reason]:
    """Why each provider cannot be started, on every GPU if there are several."""
    found: dict[str, Reason] = {}
    for provider in providers:
        if provider in GPU_PROVIDERS and len(driver().devices) > 1:
            each = on_each_gpu("start_provider", provider)
            found |= {f"{provider} on {gpu}": why for gpu, why in each.items()}
        else:
            found[provider] = why_not("start_provider", provider)
    return found


def _providers_found(number: str, providers: Mapping[str, str]) -> Finding:
    """The finding about ONNX Runtime, given why each provider fails (empty: it works)."""
    states = [
        f"{name.replace('ExecutionProvider', '')}{f' fails to start ({why})' if why else ''}"
        for name, why in providers.items()
    ]
    value = f"{number}: {', '.join(states)}"
    if not any(providers.values()):
        return Finding("ONNX Runtime", True, value)
    fix = (
        "For the GPU, install CUDA's libraries: pip install 'onnxruntime-gpu[cuda,cudnn]'"
        if driver().devices
        else "Without an NVIDIA GPU, install onnxruntime instead of onnxruntime-gpu"
    )
    return Finding("ONNX Runtime", False, value, fix)


def check_torch() -> Finding:
    """Compute a little with torch on every GPU: it trains, nothing on a device needs it."""
    number = installed("torch")
    if not number:
        return Finding("torch", True, "not installed; only training needs it")
    found = on_each_gpu("run_torch")
    if not found:
        return Finding("torch", True, number)
    value = f"{number}: {listed(found, 'computes')}"
    if not any(found.values()):
        return Finding("torch", True, value)
    fix = "To train on the GPU, install the build for its CUDA: https://pytorch.org/get-started"
    return Finding("torch", False, value, fix)


def check_plugins() -> Finding:
    """List the plug-ins, and import each in a child process."""
    plugins = find_plugins()
    broken = {plugin: why_not("load_plugin", plugin.group, plugin.name) for plugin in plugins}
    value = ", ".join(f"{plugin}{': broken' if broken[plugin] else ''}" for plugin in plugins)
    return Finding(
        "plug-ins",
        not any(broken.values()),
        value or "none",
        "; ".join(dict.fromkeys(filter(None, broken.values()))),
    )


def check_serving() -> Finding:
    """Classify a frame with a tiny model on every ONNX backend, and with engines on a GPU."""
    answers = {name: why_not("run_backend", name) for name in available_backends("model.onnx")}
    working = [name for name, why in answers.items() if not why]
    if driver().devices:
        working += [
            kind.backend
            for kind in KINDS.values()
            if kind.backend in available_backends(f"model{kind.suffix}")
            and "" in on_each_gpu("run_engine", kind.flavour).values()
        ]
    failed = [f"{name} fails ({why})" for name, why in answers.items() if why]
    if working:
        return Finding(SERVES, True, "; ".join([f"with {', '.join(working)}", *failed]))
    fix = "pip install 'edgecat-runtime[onnx,headless]'; on a Jetson, fix the findings above"
    return Finding(SERVES, False, "; ".join(["no backend works", *failed]), fix)
