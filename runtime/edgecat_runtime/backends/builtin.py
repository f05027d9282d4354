"""The backends that come with the runtime, in the order in which `auto` prefers them.

Importing this module registers them; a backend's own module is imported when it opens a file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgecat_runtime.backends.base import Backend, Opener, register_backend
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.nvidia.tensorrt import Flavour


def _onnxruntime(device: str) -> Opener:
    def open_onnxruntime(
        path: Path, card: ModelCard, threads: int | None, *, gpu: int = 0
    ) -> Backend:
        from edgecat_runtime.backends.onnxruntime import OnnxRuntimeBackend

        return OnnxRuntimeBackend(path, threads=threads, device=device, gpu=gpu)

    return open_onnxruntime


def _has_provider(device: str) -> Callable[[], bool]:
    def present() -> bool:
        from edgecat_runtime.backends.onnxruntime import has_provider

        return has_provider(device)

    return present


def _openvino(path: Path, card: ModelCard, threads: int | None) -> Backend:
    from edgecat_runtime.backends.openvino import OpenVINOBackend

    return OpenVINOBackend(path, threads=threads)


def _opencv(path: Path, card: ModelCard, threads: int | None) -> Backend:
    from edgecat_runtime.backends.opencv import OpenCVBackend

    return OpenCVBackend(path, threads=threads)


def _engine(flavour: Flavour) -> Opener:
    def open_engine(path: Path, card: ModelCard, threads: int | None, *, gpu: int = 0) -> Backend:
        from edgecat_runtime.backends.tensorrt import TensorRTBackend

        return TensorRTBackend(path, card, flavour=flavour, device=gpu)

    return open_engine


register_backend(
    "tensorrt", (".trt",), "tensorrt", _engine("tensorrt"), device="cuda", numbered=True
)
register_backend(
    "tensorrt-rtx",
    (".rtx",),
    "tensorrt_rtx_bindings",
    _engine("tensorrt_rtx"),
    device="cuda",
    numbered=True,
)
for _device in ("cuda", "tensorrt"):
    register_backend(
        "onnxruntime",
        (".onnx",),
        "onnxruntime",
        _onnxruntime(_device),
        device=_device,
        present=_has_provider(_device),
        numbered=True,
    )
register_backend("onnxruntime", (".onnx",), "onnxruntime", _onnxruntime("cpu"))
register_backend("openvino", (".onnx",), "openvino", _openvino)
register_backend("opencv", (".onnx",), "cv2", _opencv)
