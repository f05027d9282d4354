"""The checks of OpenCV, ONNX Runtime and torch, and of whether a model can be served at all."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from edgecat_runtime.backends import available_backends
from edgecat_runtime.doctor.finding import Finding
from edgecat_runtime.doctor.probes import Unwell, in_child, why_not
from edgecat_runtime.errors import EdgecatError
from edgecat_runtime.machine import jetson
from edgecat_runtime.nvidia import driver
from edgecat_runtime.opencv import cv2_module
from edgecat_runtime.packages import OPENCV_WHEELS, ORT_WHEELS, installed, wheels
from edgecat_runtime.tensorrt_api import KINDS

SERVES = "serves"
"""Name of the finding that decides whether the machine can serve a model at all."""


def check_opencv() -> Finding:
    """Import OpenCV; it decodes, resizes and shows."""
    try:
        cv2 = cv2_module()
    except EdgecatError as error:
        what, _, fix = str(error).partition(": ")
        if "numpy" in str(error.__cause__) and "No module named 'cv2'" not in str(error.__cause__):
            fix = "This OpenCV wants an older numpy: pip install 'numpy<2'"
        return Finding("OpenCV", False, what, fix)
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
    """Ask whether OpenCV reads and writes video files."""
    if missing := _without_opencv("FFmpeg"):
        return missing
    if _has_video("CAP_FFMPEG"):
        return Finding("FFmpeg", True, "in OpenCV")
    fix = "For video files and recording: pip install opencv-python-headless"
    return Finding("FFmpeg", False, "not in OpenCV", fix)


def check_gstreamer() -> Finding:
    """Ask whether OpenCV opens GStreamer pipelines, as a Jetson's ribbon cameras need."""
    if missing := _without_opencv("GStreamer"):
        return missing
    if _has_video("CAP_GSTREAMER"):
        return Finding("GStreamer", True, "in OpenCV")
    if jetson() is None:
        return Finding("GStreamer", True, "not in OpenCV; only a Jetson's ribbon cameras need it")
    fix = "Use JetPack's OpenCV, not pip's: a venv made with --system-site-packages"
    return Finding("GStreamer", False, "not in OpenCV", fix)


def _without_opencv(name: str) -> Finding | None:
    """What is found of a part of OpenCV where OpenCV itself is missing; else None."""
    opencv = check_opencv()
    return None if opencv.ok else Finding(name, False, "needs OpenCV", opencv.fix)


def _has_video(backend: str) -> bool:
    """Whether OpenCV has a video backend; `getBackends` would also list absent plugins."""
    cv2 = cv2_module()
    return bool(cv2.videoio_registry.hasBackend(getattr(cv2, backend)))


def check_onnxruntime() -> Finding:
    """Start every provider of ONNX Runtime with a real session; one that falls back is named."""
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
        fix = "Install it again: pip install --force-reinstall onnxruntime"
        return Finding(name, False, f"cannot be imported ({error})", fix)
    return _providers_found(number, {p: why_not("start_provider", p) for p in providers})


def _providers_found(number: str, providers: dict[str, str]) -> Finding:
    """What the start of each provider says: empty where it works, else why it does not."""
    states = [
        f"{name.removesuffix('ExecutionProvider')}{f' does not start ({why})' if why else ''}"
        for name, why in providers.items()
    ]
    value = f"{number}: {', '.join(states)}"
    if not any(providers.values()):
        return Finding("ONNX Runtime", True, value)
    fix = (
        "For the GPU install CUDA's libraries: pip install 'onnxruntime-gpu[cuda,cudnn]'"
        if driver().devices
        else "Without an NVIDIA GPU install onnxruntime in place of onnxruntime-gpu"
    )
    return Finding("ONNX Runtime", False, value, fix)


def check_torch() -> Finding:
    """Say whether torch is here: it trains, nothing on a device needs it."""
    number = installed("torch")
    return Finding("torch", True, number or "not installed; only training needs it")


def check_serving() -> Finding:
    """Classify a frame with a tiny model on every backend for ONNX; find a GPU's engines."""
    answers = {name: why_not("run_backend", name) for name in available_backends("model.onnx")}
    working = [name for name, why in answers.items() if not why]
    if driver().devices:
        working += [
            kind.backend
            for kind in KINDS.values()
            if kind.backend in available_backends(f"model{kind.suffix}")
            and not why_not("start_tensorrt", kind.flavour, True)
        ]
    failed = [f"{name} does not ({why})" for name, why in answers.items() if why]
    if working:
        return Finding(SERVES, True, "; ".join([f"with {', '.join(working)}", *failed]))
    fix = "pip install 'edgecat-runtime[onnx,headless]'; on a Jetson mend the lines above"
    return Finding(SERVES, False, "; ".join(["no backend works", *failed]), fix)
