"""The backends that can run a part of a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat_export.parity.segments import Segment
from edgecat_runtime.errors import BackendMissing, UserError
from edgecat_runtime.system.foreign_text import one_line
from edgecat_runtime.system.telemetry import import_onnxruntime, import_openvino

Run = Callable[[Mapping[str, NDArray[Any]]], NDArray[Any]]
_CUDA = ("CUDAExecutionProvider", {"use_tf32": "0"})


def open_segment(segment: Segment, backend: str) -> Run:
    """Open a segment with a backend: returns a function from named arrays to its only output.

    Raises:
        UserError: the backend cannot run segments, or rejects this one.
        BackendMissing: its library is not installed.
    """
    if backend not in SEGMENT_BACKENDS:
        raise UserError(
            f"{backend} cannot run a network in segments; expected one of "
            f"{', '.join(SEGMENT_BACKENDS)}. Compare the ONNX file the model was made from"
        )
    try:
        run = SEGMENT_BACKENDS[backend](segment.payload)
    except ImportError as error:
        raise BackendMissing(f"{backend} is not installed, so --layers cannot run it") from error
    except Exception as error:  # library exceptions have no common base class
        raise _refused(segment, backend, error) from error

    def guarded(feed: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        try:
            return run(feed)
        except Exception as error:
            raise _refused(segment, backend, error) from error

    return guarded


def _refused(segment: Segment, backend: str, error: Exception) -> UserError:
    first = one_line(error)
    return UserError(f"{backend} cannot run the segment that ends at {segment.output}: {first}")


def _onnxruntime(payload: bytes, *, provider: Any = "CPUExecutionProvider") -> Run:
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(payload, options, providers=[provider], enable_fallback=0)
    wanted = provider if isinstance(provider, str) else provider[0]
    if (started := session.get_providers()[0]) != wanted:
        raise UserError(f"onnxruntime started {started}; expected {wanted}")
    return lambda feed: np.asarray(session.run(None, dict(feed))[0])


def _opencv(payload: bytes) -> Run:
    import cv2

    net = cv2.dnn.readNetFromONNX(np.frombuffer(payload, np.uint8), cv2.dnn.ENGINE_NEW)

    def run(feed: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        for name, values in feed.items():
            net.setInput(np.ascontiguousarray(values), name)
        return np.array(net.forward())

    return run


def _openvino(payload: bytes) -> Run:
    openvino = import_openvino()
    model = openvino.Core().compile_model(
        openvino.Core().read_model(payload, b""), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    return lambda feed: np.array(model(dict(feed))[0])


SEGMENT_BACKENDS: dict[str, Callable[[bytes], Run]] = {
    "onnxruntime": _onnxruntime,
    "onnxruntime:cuda": partial(_onnxruntime, provider=_CUDA),
    "opencv": _opencv,
    "openvino": _openvino,
}
