"""ONNX Runtime on the CPU, or on a GPU through its CUDA and TensorRT providers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.artifact import widest_int8_weight
from edgecat_runtime.errors import BackendMissing, DeviceError, UserError

# It quantises the float bias of a Q/DQ layer by way of half precision, where that overflows, if the
# graph around is fp16 (seen in 1.32); such graphs are for TensorRT and are only checked here.
BROKEN_OPTIMIZERS = ("WeightBiasQuantization",)

# x86 processors without VNNI add two products of a uint8 and an int8 in 16 bits, which saturate
# where weights are wider than this. ONNX Runtime then has exact kernels, slower ones, for the
# asking; elsewhere the option changes nothing. What edgecat exports for CPUs is narrower.
_EXACT_WEIGHT = 64

# TF32 keeps ten bits of float32's mantissa, which parity at fp32 does not allow.
_CUDA = ("CUDAExecutionProvider", {"use_tf32": "0"})
_PROVIDERS: dict[str, list[Any]] = {
    "cpu": ["CPUExecutionProvider"],
    "cuda": [_CUDA],
    "tensorrt": ["TensorrtExecutionProvider", _CUDA],
}


class OnnxRuntimeBackend:
    """An ONNX Runtime session over the deployed graph.

    Args:
        path: a `.onnx` file, uint8 (batch, h, w, 3) BGR in, float32 logits out.
        threads: inside one operator; None leaves the choice to ONNX Runtime.
        device: `cpu`, `cuda`, or `tensorrt` (ONNX Runtime's provider, which builds its engine on
            opening and takes what TensorRT cannot to CUDA).

    Raises:
        BackendMissing: onnxruntime is not installed, or has no such provider.
        DeviceError: the provider does not start (driver, CUDA or TensorRT libraries).
        UserError: ONNX Runtime refuses the file.
    """

    name = "onnxruntime"

    def __init__(self, path: Path, *, threads: int | None = None, device: str = "cpu") -> None:
        self.device = device
        providers = _PROVIDERS[device]
        ort = _module(device)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3 if device == "cpu" else 4
        if device == "cpu" and widest_int8_weight(path) > _EXACT_WEIGHT:
            options.add_session_config_entry("session.x64quantprecision", "1")
        try:
            self._session = ort.InferenceSession(
                str(path),
                options,
                providers=providers,
                disabled_optimizers=list(BROKEN_OPTIMIZERS),
            )
        except Exception as error:  # its exceptions share no public base class
            raise UserError(f"onnxruntime cannot open {path}: {_first_line(error)}") from error
        self._input = self._session.get_inputs()[0].name
        started = self._session.get_providers()[0]
        if started != _name(providers[0]):  # it falls back to the CPU without a word
            raise DeviceError(
                f"onnxruntime started {started}; expected {_name(providers[0])}. Look after the "
                f"GPU's driver and libraries (edgecat doctor), or use --device cpu"
            )

    def infer(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Answer a batch: uint8 (n, h, w, 3) BGR to float32 logits (n, classes)."""
        logits: NDArray[np.float32] = self._session.run(None, {self._input: frames})[0]
        return logits

    def close(self) -> None:
        """Free the session."""
        self._session = None


def has_provider(device: str) -> bool:
    """Whether the installed onnxruntime was built for `device`; it may still fail to start."""
    try:
        _module(device)
    except BackendMissing:
        return False
    return True


def _module(device: str) -> Any:
    """The onnxruntime module, ready for `device`."""
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise BackendMissing(
            "onnxruntime is not installed: pip install 'edgecat-runtime[onnx]'"
        ) from error
    provider = _name(_PROVIDERS[device][0])
    if provider not in ort.get_available_providers():
        raise BackendMissing(
            f"this onnxruntime has no {provider}: pip uninstall onnxruntime, then pip install "
            "'edgecat-runtime[onnx-gpu]' (never both), or use --device cpu"
        )
    if device != "cpu":
        if device == "tensorrt":  # its provider has no option for TF32
            os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
        if hasattr(ort, "preload_dlls"):
            ort.preload_dlls()
    return ort


def _name(provider: str | tuple[str, dict[str, str]]) -> str:
    return provider if isinstance(provider, str) else provider[0]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
