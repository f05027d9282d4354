"""ONNX Runtime on the CPU, or on a GPU through its CUDA and TensorRT providers."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.backends.base import closed
from edgecat_runtime.errors import BackendMissing, DeviceError, InvalidModel, UserError
from edgecat_runtime.model.int8_weights import widest_int8_weight
from edgecat_runtime.model.taps import with_outputs
from edgecat_runtime.system.foreign_text import one_line
from edgecat_runtime.system.paths import native_path
from edgecat_runtime.system.telemetry import import_onnxruntime

# In an fp16 graph this optimizer quantises the float bias of a Q/DQ layer through half precision,
# which overflows (seen in 1.32). These graphs are meant for TensorRT and only checked here.
BROKEN_OPTIMIZERS = ("WeightBiasQuantization",)

# x86 processors without VNNI add two uint8 x int8 products in 16 bits, which saturates for weights
# beyond this. ONNX Runtime has exact, slower kernels as an option, which has no effect elsewhere.
# The weights that edgecat exports for CPUs are narrower.
_EXACT_WEIGHT = 64

# What ONNX Runtime raises if the file is at fault, on any device.
_BAD_MODEL = frozenset(
    (
        "InvalidArgument",
        "InvalidGraph",
        "InvalidProtobuf",
        "NoModel",
        "NoSuchFile",
        "NotImplemented",
    )
)

# Of these, what says that the file is invalid, rather than that this version lacks a part of it.
_INVALID = frozenset(("InvalidArgument", "InvalidGraph", "InvalidProtobuf"))

_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


class OnnxRuntimeBackend:
    """An ONNX Runtime session over the deployed graph.

    Args:
        path: a `.onnx` file, uint8 (batch, h, w, 3) BGR in, float32 logits out.
        threads: intra-op threads; None: ONNX Runtime's default.
        device: `cpu`, `cuda`, or `tensorrt` (ONNX Runtime's provider, which builds its engine on
            opening and falls back to CUDA for unsupported operators).
        gpu: which one, as CUDA counts.
        taps: inner values of the graph, by name, that `tapped` returns.

    Raises:
        BackendMissing: onnxruntime is not installed, or lacks the provider.
        DeviceError: the provider cannot be started (driver, CUDA or TensorRT libraries).
        InvalidModel: it finds the file invalid.
        UserError: it cannot run the file.
    """

    name = "onnxruntime"
    thread_safe = True

    def __init__(
        self,
        path: Path,
        *,
        threads: int | None = None,
        device: str = "cpu",
        gpu: int = 0,
        taps: tuple[str, ...] = (),
    ) -> None:
        self.device = device
        self._session: Any = None
        ort = _module(device)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or 0
        # Else its threads wait for the next frame at full load, a core's worth at 30 per second.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3 if device == "cpu" else 4
        if device == "cpu" and widest_int8_weight(path) > _EXACT_WEIGHT:
            options.add_session_config_entry("session.x64quantprecision", "1")
        try:
            with native_path(path) as name:
                self._session = ort.InferenceSession(
                    with_outputs(path.read_bytes(), taps) if taps else name,
                    options,
                    providers=_providers(device, gpu),
                    disabled_optimizers=list(BROKEN_OPTIMIZERS),
                    enable_fallback=0,  # else a GPU that fails becomes the CPU, now or later
                )
        except Exception as error:  # its exceptions share no public base class
            at_fault = UserError if device == "cpu" or _is_the_files(error) else DeviceError
            at_fault = InvalidModel if type(error).__name__ in _INVALID else at_fault
            raise at_fault(f"onnxruntime cannot open {path}: {one_line(error)}") from error
        self._input = self._session.get_inputs()[0].name
        started = self._session.get_providers()[0]
        if started != _PROVIDERS[device]:  # it falls back to the CPU silently
            raise DeviceError(
                f"onnxruntime started {started}; expected {_PROVIDERS[device]}. Check the "
                f"GPU's driver and libraries (edgecat doctor), or use --device cpu"
            )

    def infer(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run a batch: uint8 (n, h, w, 3) BGR to float32 logits (n, classes).

        Raises:
            UserError: the backend was closed.
            DeviceError: the GPU failed.
        """
        logits: NDArray[np.float32] = self.tapped(frames)[0]
        return logits

    def tapped(self, frames: NDArray[np.uint8]) -> list[NDArray[Any]]:
        """Run a batch: the logits, and then the values of each tap; raises as `infer`."""
        session = self._session
        if session is None:
            raise closed()
        try:
            values: list[NDArray[Any]] = session.run(None, {self._input: frames})
        except Exception as error:
            if self.device == "cpu":
                raise
            raise DeviceError(
                f"onnxruntime failed on {self.device}: {one_line(error)}. Run edgecat doctor"
            ) from error
        return values

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
        ort = import_onnxruntime()
    except ImportError as error:
        raise BackendMissing(
            "onnxruntime is not installed: pip install 'edgecat-runtime[onnx]'"
        ) from error
    provider = _PROVIDERS[device]
    if provider not in ort.get_available_providers():
        raise BackendMissing(
            f"this onnxruntime has no {provider}: pip uninstall onnxruntime, then pip install "
            "'edgecat-runtime[onnx-gpu]' (never both), or use --device cpu"
        )
    if device != "cpu":
        if device == "tensorrt":  # its provider has no option for TF32
            os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
        _preload(ort)
    return ort


@cache
def _preload(ort: Any) -> None:
    """Load CUDA's libraries, once for each process.

    ONNX Runtime prints the ones that it does not find; standard output is for predictions.
    """
    if hasattr(ort, "preload_dlls"):
        with redirect_stdout(sys.stderr):
            ort.preload_dlls()


def _providers(device: str, gpu: int) -> list[tuple[str, dict[str, str]]]:
    """Providers with their options, the preferred one first.

    TF32 keeps ten bits of float32's mantissa, too few for fp32 parity.
    """
    if device == "cpu":
        return [(_PROVIDERS["cpu"], {})]
    chosen = {"device_id": str(gpu)}
    cuda = (_PROVIDERS["cuda"], {**chosen, "use_tf32": "0"})
    return [cuda] if device == "cuda" else [(_PROVIDERS["tensorrt"], chosen), cuda]


def _is_the_files(error: Exception) -> bool:
    """Whether a session failed to open because of the model, not the device."""
    return type(error).__name__ in _BAD_MODEL
