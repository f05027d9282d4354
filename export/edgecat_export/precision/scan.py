"""Range and distribution of every float tensor of a graph over given frames.

One pass over the frames serves both the fp16 pass (would a layer overflow?) and all calibration
methods of the int8 pass (they differ only in how they interpret the same histogram).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat_export.precision.distribution import Distribution, Method, Range
from edgecat_export.precision.exact import ExactGraph
from edgecat_runtime.backends.onnxruntime import BROKEN_OPTIMIZERS
from edgecat_runtime.errors import BackendMissing
from edgecat_runtime.system.telemetry import import_onnxruntime
from edgecat_runtime.types import Frames, Logits

Progress = Callable[[str], None]

_ROUNDING = 1e-4  # far above the differences of float32 kernels, relative to an extreme


@dataclass(frozen=True)
class Scan:
    """The statistics of a graph over some frames.

    Attributes:
        tensors: distribution of each float tensor, by name.
        shapes: of each of them for one frame, including the batch axis.
        logits: float32 (n, classes).
        extremes: of each tensor, float64 (n, 2): minimum and maximum per frame.
    """

    tensors: Mapping[str, Distribution]
    shapes: Mapping[str, tuple[int, ...]]
    logits: Logits
    extremes: Mapping[str, NDArray[np.float64]]

    def ranges(self, method: Method) -> dict[str, Range]:
        """Each tensor's range for int8 by one calibration method."""
        return {name: tensor.range(method) for name, tensor in self.tensors.items()}

    def extreme_frames(self, names: Collection[str]) -> list[int]:
        """Frames that may contain the minimum or maximum of one of the tensors.

        Frames within rounding of the extreme are included; of equal ones the first suffices, and
        zero needs none, since every range contains it.
        """
        found: set[int] = set()
        for name in names:
            both = self.extremes[name] * (-1, 1)
            tolerance = _ROUNDING * both.max()
            for values in both.T:
                if values.max() > 0:
                    near = np.flatnonzero(values >= values.max() - tolerance)
                    found.update(near[np.unique(values[near], return_index=True)[1]].tolist())
        return sorted(found)


def scan(payload: bytes, frames: Frames, *, progress: Progress | None = None) -> Scan:
    """Run frames through a graph on ONNX Runtime and record every float tensor.

    Args:
        payload: an ONNX model with input uint8 (n, h, w, 3).
        frames: uint8 (n, h, w, 3) BGR, preprocessed, at least one.
        progress: called after each batch.
    """
    import onnx

    model = onnx.load_from_string(payload)
    output = model.graph.output[0].name
    names = [name for node in model.graph.node for name in node.output if name and name != output]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = session_from_onnx(model.SerializeToString())
    floats = [out.name for out in session.get_outputs() if out.type == "tensor(float)"]
    watched = _Watched()
    logits = []
    for batch in batches(frames):
        values = dict(zip(floats, run(session, batch, floats), strict=True))
        for name, value in values.items():
            watched.add(name, value, len(batch))
        logits.append(values[output])
        if progress:
            progress("measuring ranges")
    return watched.scan(np.concatenate(logits))


def scan_exactly(payload: bytes, frames: Frames, *, progress: Progress | None = None) -> Scan:
    """Like `scan`, in double precision: the ranges are identical on every CPU.

    Raises:
        NotImplementedError: an operator is not supported (see `ExactGraph`).
    """
    graph = ExactGraph(payload, watched=True)
    watched = _Watched()
    logits = []
    for i in range(len(frames)):
        logits.append(graph.run(frames[i : i + 1], lambda name, value: watched.add(name, value, 1)))
        if progress:
            progress("measuring ranges in double precision")
    return watched.scan(np.concatenate(logits))


class _Watched:
    """The results of a scan, accumulated per tensor and batch."""

    def __init__(self) -> None:
        self._tensors: dict[str, Distribution] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._extremes: dict[str, list[NDArray[np.float64]]] = {}

    def add(self, name: str, value: NDArray[Any], frames: int) -> None:
        self._tensors.setdefault(name, Distribution()).add(value)
        if not value.ndim:  # a constant may have no axis
            return
        self._shapes.setdefault(name, (value.shape[0] // frames, *value.shape[1:]))
        if value.shape[0] == frames and value.size:
            rows = value.reshape(frames, -1)
            both = np.stack([rows.min(1), rows.max(1)], 1).astype(np.float64)
            self._extremes.setdefault(name, []).append(both)

    def scan(self, logits: Logits) -> Scan:
        extremes = {name: np.concatenate(parts) for name, parts in self._extremes.items()}
        return Scan(self._tensors, self._shapes, logits, extremes)


def session_from_onnx(payload: bytes, *, literal: bool = False) -> Any:
    """Open an ONNX model from memory with ONNX Runtime on the CPU.

    A Q/DQ graph is computed in float as specified: integer kernels may saturate, and they differ
    between CPUs.

    Args:
        payload: the model.
        literal: run it node by node as specified, without fusion.

    Raises:
        BackendMissing: onnxruntime is not installed.
    """
    try:
        ort = import_onnxruntime()
    except ImportError as error:
        raise BackendMissing(
            "onnxruntime is not installed: pip install 'edgecat-export[onnx]'"
        ) from error
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    if literal:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(
        payload,
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=list(BROKEN_OPTIMIZERS),
    )


def run(session: Any, batch: Frames, outputs: list[str] | None = None) -> list[Any]:
    """Run one batch through a session with a single input."""
    results: list[Any] = session.run(outputs, {session.get_inputs()[0].name: batch})
    return results


def batches(frames: Frames) -> Iterator[Frames]:
    """Split frames (n, h, w, 3) into batches small enough to keep all intermediate tensors."""
    size = int(np.clip((1 << 17) // (frames.shape[1] * frames.shape[2]), 1, 16))
    for start in range(0, len(frames), size):
        yield frames[start : start + size]


def answer(
    payload: bytes,
    frames: Frames,
    *,
    literal: bool = False,
    what: str = "",
    progress: Progress | None = None,
) -> Logits:
    """Compute the logits (n, classes) of frames (n, h, w, 3) on ONNX Runtime.

    Args:
        payload: an ONNX model.
        frames: uint8 (n, h, w, 3) BGR, preprocessed.
        literal: round to half wherever the graph specifies it, as a GPU does. By default ONNX
            Runtime omits the roundings of an fp16 graph on a CPU, which would hide an overflow.
        what: the current activity, for `progress`.
        progress: called after each batch.
    """
    compute = ExactGraph(payload).run if literal and _is_coarse(payload) else None
    session = None if compute else session_from_onnx(payload, literal=literal)
    logits = []
    for batch in batches(frames):
        logits.append(compute(batch) if compute else run(session, batch)[0])
        if progress:
            progress(what)
    return np.concatenate(logits)


def _is_coarse(payload: bytes) -> bool:
    """Whether this ONNX Runtime is too imprecise to run the graph literally.

    Versions before 1.30 computed Q/DQ in float16 with five times the error.
    """
    found = import_onnxruntime().__version__
    version = tuple(int(part) for part in re.findall(r"\d+", found)[:2])
    return version < (1, 30) and b"DequantizeLinear" in payload


def answer_exactly(payload: bytes, frames: Frames, *, literal: bool = False) -> Logits:
    """Like `answer`, in double precision, for a few frames: identical on every CPU.

    A graph with operators unsupported in double precision is computed by ONNX Runtime, unfused.
    """
    try:
        return ExactGraph(payload).run(frames)
    except Exception:  # onnx.reference fails in many ways on unsupported operators
        return answer(payload, frames, literal=literal)
