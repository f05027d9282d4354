"""What flows through a graph: every float tensor's range and distribution over given frames.

One pass over the frames serves the fp16 pass (would a layer overflow?) and every calibration
method of the int8 pass (their ranges differ only in how they read the same histogram).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.backends.onnxruntime import BROKEN_OPTIMIZERS
from edgecat_runtime.errors import BackendMissing
from edgecat_runtime.types import Frames, Logits

Range = tuple[float, float]
Method = Literal["minmax", "percentile", "entropy"]
Progress = Callable[[str], None]

METHODS: tuple[Method, ...] = ("minmax", "percentile", "entropy")
PERCENTILE = 99.999
_BINS = 8192  # over [-limit, limit]
_SAMPLES = 200_000  # values of one tensor and batch that enter the histogram
_LEVELS = 128  # of int8 on one side of zero


class Distribution:
    """Range and histogram of one tensor, gathered batch by batch in constant memory.

    The histogram covers [-limit, limit]; a value beyond doubles the limit and merges bins in pairs,
    so nothing needs to be known beforehand.

    Attributes:
        lowest: exact minimum.
        highest: exact maximum.
        counts: int64 (8192,), from evenly spread samples.
        limit: the histogram's reach on both sides of zero.
    """

    def __init__(self) -> None:
        self.lowest = np.inf
        self.highest = -np.inf
        self.counts = np.zeros(_BINS, np.int64)
        self.limit = 0.0

    @property
    def peak(self) -> float:
        """Greatest magnitude; infinite where a value was not finite."""
        peak = max(abs(self.lowest), abs(self.highest))
        return float(peak) if np.isfinite(peak) else np.inf

    def add(self, values: NDArray[np.float32]) -> None:
        """Take in a batch of values of any shape."""
        if not values.size:
            return
        self.lowest = min(self.lowest, float(values.min()))
        self.highest = max(self.highest, float(values.max()))
        if not 0 < self.peak < np.inf:
            return
        self.limit = self.limit or self.peak
        while self.limit < self.peak:
            self._widen()
        sample = values.reshape(-1)[:: max(1, values.size // _SAMPLES) | 1]
        places = ((sample + self.limit) * (_BINS / 2 / self.limit)).astype(np.int64)
        self.counts += np.bincount(np.minimum(places, _BINS - 1), minlength=_BINS)

    def range(self, method: Method) -> Range:
        """The range, around zero, that `method` would quantise."""
        return _RANGES[method](self)

    def _widen(self) -> None:
        pairs = self.counts.reshape(-1, 2).sum(1)
        self.counts = np.zeros_like(self.counts)
        self.counts[_BINS // 4 : -_BINS // 4] = pairs
        self.limit *= 2


@dataclass(frozen=True)
class Scan:
    """What a graph did with some frames.

    Attributes:
        tensors: distribution of each float tensor, by name.
        shapes: of each of them for one frame, the batch axis included.
        logits: float32 (n, classes).
    """

    tensors: Mapping[str, Distribution]
    shapes: Mapping[str, tuple[int, ...]]
    logits: Logits

    def ranges(self, method: Method) -> dict[str, Range]:
        """Each tensor's range for int8 by one calibration method."""
        return {name: tensor.range(method) for name, tensor in self.tensors.items()}


def scan(payload: bytes, frames: Frames, *, progress: Progress | None = None) -> Scan:
    """Run frames through a graph and watch every float tensor.

    Args:
        payload: an ONNX model with input uint8 (n, h, w, 3).
        frames: uint8 (n, h, w, 3) BGR, preprocessed, at least one.
        progress: told after each batch.
    """
    import onnx

    model = onnx.load_from_string(payload)
    output = model.graph.output[0].name
    names = [name for node in model.graph.node for name in node.output if name and name != output]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = session_from_onnx(model.SerializeToString())
    floats = [out.name for out in session.get_outputs() if out.type == "tensor(float)"]
    tensors = {name: Distribution() for name in floats}
    shapes: dict[str, tuple[int, ...]] = {}
    logits = []
    for batch in batches(frames):
        values = dict(zip(floats, run(session, batch, floats), strict=True))
        for name, value in values.items():
            tensors[name].add(value)
            if value.ndim:  # a constant may have no axis
                shapes.setdefault(name, (value.shape[0] // len(batch), *value.shape[1:]))
        logits.append(values[output])
        if progress:
            progress("measuring ranges")
    return Scan(tensors, shapes, np.concatenate(logits))


def session_from_onnx(payload: bytes, *, literal: bool = False) -> Any:
    """Open an ONNX model from memory with ONNX Runtime on the CPU.

    Args:
        payload: the model.
        literal: run it node by node as it is written, with nothing fused.

    Raises:
        BackendMissing: onnxruntime is not installed.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise BackendMissing(
            "onnxruntime is not installed: pip install 'edgecat-export[onnx]'"
        ) from error
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
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
    """Cut frames (n, h, w, 3) into batches small enough for all intermediate tensors at once."""
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
    """Answer frames (n, h, w, 3) with logits (n, classes), on ONNX Runtime.

    Args:
        payload: an ONNX model.
        frames: uint8 (n, h, w, 3) BGR, preprocessed.
        literal: round to half wherever the graph says so, as a GPU does. By itself ONNX Runtime
            leaves the roundings of an fp16 graph out on a CPU, and an overflow would stay unseen.
        what: is being done, for `progress`.
        progress: told after each batch.
    """
    session = session_from_onnx(payload, literal=literal)
    logits = []
    for batch in batches(frames):
        logits.append(run(session, batch)[0])
        if progress:
            progress(what)
    return np.concatenate(logits)


def _minmax(tensor: Distribution) -> Range:
    return min(tensor.lowest, 0.0), max(tensor.highest, 0.0)


def _percentile(tensor: Distribution) -> Range:
    """Cut off the outermost 0.001 % of the values on either side."""
    total = tensor.counts.sum()
    if not total:
        return _minmax(tensor)
    share = tensor.counts.cumsum() / total
    tail = 1 - PERCENTILE / 100
    width = 2 * tensor.limit / _BINS
    lowest = np.searchsorted(share, tail, side="right") * width - tensor.limit
    highest = (np.searchsorted(share, 1 - tail) + 1) * width - tensor.limit
    return _clipped(tensor, float(lowest), float(highest))


def _entropy(tensor: Distribution) -> Range:
    """Clip where the Kullback-Leibler divergence from the unclipped distribution is least.

    Source: Migacz, 8-bit inference with TensorRT, GTC 2017.
    """
    half = _BINS // 2
    folded = (tensor.counts[half:] + tensor.counts[:half][::-1]).astype(np.float64)
    folded[0] = folded[1]  # the spike of a ReLU's zeros would outweigh everything
    if not folded.any():
        return _minmax(tensor)
    edges = range(_LEVELS, half + 1, _LEVELS // 4)
    best = min(edges, key=lambda edge: _divergence(folded, edge))
    reach = best * tensor.limit / half
    return _clipped(tensor, -reach, reach)


def _divergence(folded: NDArray[np.float64], edge: int) -> float:
    """How far `folded`, clipped to `edge` bins and cut to 128 levels, is from `folded`."""
    kept = folded[:edge].copy()
    filled = kept > 0
    starts = np.arange(_LEVELS) * edge // _LEVELS
    sums = np.add.reduceat(kept, starts)
    counts = np.add.reduceat(filled.astype(np.float64), starts)
    level = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
    coarse = np.repeat(level, np.diff([*starts, edge])) * filled
    kept[-1] += folded[edge:].sum()
    both = (kept > 0) & (coarse > 0)
    missed = kept[~both].sum() / kept.sum()
    p, q = kept[both] / kept.sum(), coarse[both] / max(coarse.sum(), 1e-12)
    return float((p * np.log(p / q)).sum() + missed * 10)


def _clipped(tensor: Distribution, lowest: float, highest: float) -> Range:
    low, high = _minmax(tensor)
    return max(low, min(lowest, 0.0)), min(high, max(highest, 0.0))


_RANGES: dict[Method, Callable[[Distribution], Range]] = {
    "minmax": _minmax,
    "percentile": _percentile,
    "entropy": _entropy,
}
