"""Where a candidate starts to drift: compare two graphs layer by layer, in segments.

Each layer of the candidate runs twice: on the reference's input to the layer, which shows the error
of that layer alone, and on what the candidate has computed so far, which shows the accumulated
error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat_export.parity.segment_backends import open_segment
from edgecat_export.parity.segments import Graph, Segment
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.card import Precision
from edgecat_runtime.model.parity import LOGIT_LIMITS
from edgecat_runtime.types import Values

# Limits of one layer's error. Sound int8 layers of a trained VGG16 measured 0.008 to 0.07.
LAYER_LIMITS: dict[Precision, float] = {**LOGIT_LIMITS, "int8": 0.15}

Progress = Callable[[int, str], AbstractContextManager[Callable[..., None]]]


@dataclass(frozen=True)
class Layer:
    """One layer's error; ‖candidate - reference‖ / ‖reference‖ over all values and frames.

    Attributes:
        name: PyTorch's name if the graph has it.
        operator: its ONNX operator.
        own: error on the reference's input.
        accumulated: error on the candidate's own input.
    """

    name: str
    operator: str
    own: float
    accumulated: float


@dataclass(frozen=True)
class Drift:
    """The drift of a candidate from a reference, layer by layer.

    Attributes:
        reference: name and backend of the reference.
        candidate: name of the candidate.
        backend: that ran the candidate.
        limit: of a layer's error, for the candidate's precision.
        layers: in graph order; the last computes the logits.
        split: relative difference between the candidate run in segments and run whole, on the same
            frames. It shows that cutting has not changed the graph under test; if a runtime
            computes fp16 graphs in float32, rounding at the cuts shows here (3e-4).
        apart: whether they come from different trainings, so that no layer is to blame.
    """

    reference: str
    candidate: str
    backend: str
    limit: float
    layers: tuple[Layer, ...]
    split: float
    apart: bool = False

    @property
    def first(self) -> Layer | None:
        """The first layer whose own error exceeds the limit; None if the two are `apart`."""
        if self.apart:
            return None
        return next((layer for layer in self.layers if not layer.own <= self.limit), None)

    @property
    def verdict(self) -> str:
        """The result as a sentence."""
        name = f"{self.candidate} on {self.backend}"
        if self.apart:
            return (
                f"these come from two different training runs: the cards of {self.candidate} and "
                f"{self.reference} name different checkpoints, so their layers differ from the "
                "first one on. Compare a model with the checkpoint it was made from"
            )
        if self.first is not None:
            drifting = sum(not layer.own <= self.limit for layer in self.layers)
            alone = drifting == 1 < len(self.layers) and self.first is self.layers[0]
            return (
                f"{name} starts to drift from {self.reference} at {self.first.name} "
                f"({self.first.operator}): its own error is {self.first.own:.1e}, the limit "
                f"{self.limit:.0e}"
                + ". No later layer drifts: compare the means, standard deviations and colour "
                "orders of the two (edgecat inspect)" * alone
            )
        over = next((item for item in self.layers if not item.accumulated <= self.limit), None)
        most = max(self.layers, key=lambda layer: layer.own)
        if over is not None:
            return (
                f"no single layer of {name} exceeds {self.limit:.0e}; the error accumulates and "
                f"exceeds it at {over.name}. {most.name} contributes most: {most.own:.1e}"
            )
        return (
            f"every layer of {name} is within {self.limit:.0e} of {self.reference}; the largest "
            f"error of a single layer is {most.own:.1e} at {most.name}"
        )


def find_drift(
    reference: bytes,
    candidate: bytes,
    frames: NDArray[np.uint8],
    *,
    names: tuple[str, str] = ("the reference", "the candidate"),
    backends: tuple[str, str] = ("onnxruntime", "onnxruntime"),
    precision: Precision = "fp32",
    apart: bool = False,
    progress: Progress = lambda total, description: nullcontext(lambda *a: None),
) -> Drift:
    """Compare two graphs layer by layer.

    Args:
        reference: an ONNX model, uint8 (n, h, w, 3) in, logits out.
        candidate: the same network in another precision, from another exporter, or unchanged.
        frames: uint8 (n, h, w, 3) BGR, preprocessed; a handful.
        names: of both, for the report.
        backends: of both; see `SEGMENT_BACKENDS`.
        precision: of the candidate; determines the limit.
        apart: whether they come from different training runs.
        progress: called with the number of layers and a description; yields what advances it.

    Raises:
        UserError: the graphs have no common layers, or a backend cannot run segments.
        BackendMissing: a backend's library is not installed.
    """
    sides = _Side(reference, frames, backends[0]), _Side(candidate, frames, backends[1])
    del reference
    _pair(*sides, names)
    count = len(sides[0].cuts)
    with progress(count, "comparing layers") as advance:
        layers = []
        for index in range(count):
            layers.append(_layer(*sides, index))
            advance(1)
    whole = open_segment(Segment(candidate, (sides[1].graph.input,), ""), backends[1])
    split = relative_error(whole({sides[1].graph.input: frames}), sides[1].values[count - 1])
    title = f"{names[0]} on {backends[0]}"
    limit = LAYER_LIMITS[precision]
    return Drift(title, names[1], backends[1], limit, tuple(layers), split, apart)


class _Side:
    """One of the two graphs, and its intermediate results."""

    def __init__(self, payload: bytes, frames: NDArray[np.uint8], backend: str) -> None:
        self.graph = Graph(payload)
        self.cuts = self.graph.cuts()
        self.values: dict[int, Values] = {}
        self._frames = frames
        self._backend = backend
        self._needs: dict[int, set[int]] = {}

    def needs(self, index: int) -> set[int]:
        """The indices of the cuts that cut `index` is computed from."""
        if index not in self._needs:
            stops = [cut.tensor for cut in self.cuts[:index]]
            inputs = self.graph.inputs(self.cuts[index].tensor, stops)
            self._needs[index] = {stops.index(n) for n in inputs if n != self.graph.input}
        return self._needs[index]

    def layer(self, index: int) -> Callable[[Mapping[int, Values]], Values]:
        """Open the segment that ends at cut `index`, given values at earlier cuts."""
        stops = [cut.tensor for cut in self.cuts[:index]]
        segment = self.graph.segment(self.cuts[index].tensor, stops)
        run = open_segment(segment, self._backend)

        def answer(values: Mapping[int, Values]) -> Values:
            feed = {
                name: self._frames
                if name == self.graph.input
                else self.cuts[stops.index(name)].encode(values[stops.index(name)])
                for name in segment.inputs
            }
            return self.cuts[index].decode(run(feed))

        return answer


def _layer(reference: _Side, candidate: _Side, index: int) -> Layer:
    """Run one layer on both sides, keep what later layers need and drop the rest."""
    expected = reference.layer(index)(reference.values)
    run = candidate.layer(index)
    own, accumulated = run(reference.values), run(candidate.values)
    cut = reference.cuts[index]
    if own.shape != expected.shape:
        raise UserError(
            f"{cut.layer} returns shape {own.shape} in the candidate and {expected.shape} in the "
            "reference. Only two versions of the same network can be compared layer by layer"
        )
    for side, values in ((reference, expected), (candidate, accumulated)):
        side.values[index] = values
    later = range(index + 1, len(reference.cuts))
    needed = {index}.union(*(side.needs(j) for side in (reference, candidate) for j in later))
    for side in (reference, candidate):
        side.values = {i: values for i, values in side.values.items() if i in needed}
    return Layer(
        cut.layer,
        cut.operator,
        relative_error(expected, own),
        relative_error(expected, accumulated),
    )


def _pair(reference: _Side, candidate: _Side, names: tuple[str, str]) -> None:
    """The cuts that both graphs have: matched by tensor name, otherwise by order."""
    here, there = reference.cuts, candidate.cuts
    by_name = {cut.name: cut for cut in there[:-1]}
    shared = [cut for cut in here[:-1] if cut.name in by_name]
    if shared:
        reference.cuts = [*shared, here[-1]]
        candidate.cuts = [*(by_name[cut.name] for cut in shared), there[-1]]
    elif len(here) != len(there):
        raise UserError(
            f"{names[1]} has {len(there)} layers, {names[0]} has {len(here)}, and no names in "
            "common. Only two versions of the same network can be compared layer by layer"
        )


def relative_error(expected: NDArray[Any], found: NDArray[Any]) -> float:
    """‖found - expected‖ / ‖expected‖ over all values; infinite if any value is not finite."""
    with np.errstate(invalid="ignore"):
        difference = float(np.linalg.norm(np.subtract(found, expected, dtype=np.float64)))
    norm = max(float(np.linalg.norm(expected.astype(np.float64))), float(np.finfo(np.float32).tiny))
    return difference / norm if np.isfinite(difference) else float("inf")
