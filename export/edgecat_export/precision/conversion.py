"""From a float32 graph to fp16 or int8, with the accuracy gate before any file exists."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgecat_export.precision.distribution import METHODS, Method, Range
from edgecat_export.precision.fp16 import fp16_from_onnx
from edgecat_export.precision.gate import Gate, GateReport, Photographs
from edgecat_export.precision.int8 import (
    Form,
    calibrated_tensors,
    int8_from_onnx,
    int8_layers,
    layers,
)
from edgecat_export.precision.prepare import prepared
from edgecat_export.precision.scan import Progress, Scan, answer, answer_exactly, scan, scan_exactly
from edgecat_runtime.errors import GateError, UserError
from edgecat_runtime.model.card import ModelCard, Precision
from edgecat_runtime.model.golden import golden_frames, golden_rows
from edgecat_runtime.types import Frames, Logits

INT8_SHARE = 0.8
LEVELS = 192  # of the 256 that a camera gives; photographs span nearly all of them
_T = TypeVar("_T", np.uint8, np.float32)
_CLEARLY = 0.9  # of minmax's error, below which another calibration method is taken
_SCANNED = 64  # photographs of the overflow scan, and for ranking layers


@dataclass(frozen=True)
class Conversion:
    """A converted graph that passed its gate, not yet written.

    Attributes:
        payload: the serialised ONNX model.
        card: with precision and golden logits. The accuracy stays what the float32 model's
            training measured; where nobody did, it is the gate's, on the photographs given.
        gate: how it compares with float32.
        notes: what was decided on the way, for people.
        int8_share: share of the multiply-adds that run in int8, 0..1.
        kept: layers that int8 left in higher precision, or nodes that fp16 left in float32.
    """

    payload: bytes
    card: ModelCard
    gate: GateReport
    notes: tuple[str, ...] = ()
    int8_share: float = 0.0
    kept: tuple[str, ...] = ()


def convert(
    payload: bytes,
    card: ModelCard,
    precision: Precision,
    *,
    form: Form = "cpu",
    calibration: Frames | None = None,
    photographs: Photographs | None = None,
    progress: Progress | None = None,
) -> Conversion:
    """Convert a float32 graph and hold the result against it.

    Args:
        payload: the deployed float32 ONNX model, unsealed.
        card: its card.
        precision: `fp16` or `int8`.
        form: of int8: `cpu`, or `tensorrt` (which is fp16 around the int8 layers).
        calibration: uint8 (n, height, width, 3) BGR, preprocessed photographs of every class that
            int8's ranges are measured on.
        photographs: labelled ones for the gate, none of them calibrated on.
        progress: told after each batch what is being done.

    Raises:
        UserError: not a float32 model, or int8 without calibration.
        GateError: it answers too differently; the message says by how much and what to do.
    """
    if card.precision != "fp32":
        raise UserError(
            f"this model is {card.precision} already; only an fp32 model can be converted to "
            f"{precision}. Give the checkpoint or its fp32 .onnx file"
        )
    gate = Gate(payload, card, photographs, progress=progress)
    if precision == "fp16":
        conversion = _half(payload, card, gate, calibration, photographs, progress)
    else:
        if calibration is None or not len(calibration):
            raise UserError(
                "int8 needs photographs like the camera's to measure its ranges on; got none. "
                "Name them: --calibrate photos/"
            )
        _check_contrast(calibration)
        conversion = _Int8(payload, card, gate, form, calibration, progress).convert()
    return replace(conversion, card=_described(conversion, card, precision))


def _check_contrast(calibration: Frames) -> None:
    """Refuse pictures that leave most pixel values out: a camera's would be clipped."""
    counts = np.bincount(calibration.reshape(-1), minlength=256).cumsum()
    low, high = np.searchsorted(counts, [0.001 * counts[-1], 0.999 * counts[-1]])
    if high - low < LEVELS:
        raise GateError(
            f"the calibration pictures span {high - low} of 255 pixel values (the outermost 0.1 % "
            f"left out); expected {LEVELS} or more, or int8 clips what a camera sends. Calibrate "
            "on photographs as the camera gives them"
        )


def _half(
    payload: bytes,
    card: ModelCard,
    gate: Gate,
    calibration: Frames | None,
    photographs: Photographs | None,
    progress: Progress | None,
) -> Conversion:
    seen = [gate.golden]
    seen += [_spread(calibration, _SCANNED)] if calibration is not None else []
    seen += [_spread(photographs.frames, _SCANNED)] if photographs is not None else []
    half, report = fp16_from_onnx(payload, frames=np.concatenate(seen), progress=progress)
    judged = gate.judge(half, "fp16", literal=True)
    if not judged.passed:
        raise GateError(f"fp16 answers too differently: {judged}. Serve this model in fp32")
    names = tuple(node.name for node in report.kept)
    return Conversion(half, card, judged, tuple(map(str, report.kept)), kept=names)


class _Int8:
    """One conversion to int8: calibrate, choose the method, keep the worst layers in float."""

    def __init__(
        self,
        payload: bytes,
        card: ModelCard,
        gate: Gate,
        form: Form,
        calibration: Frames,
        progress: Progress | None,
    ) -> None:
        self._payload = prepared(payload)
        self._card = card
        self._gate = gate
        self._form = form
        self._calibration = calibration
        self._progress = progress
        self._scan: Scan = scan(self._payload, calibration, progress=progress)
        self._macs = layers(self._payload, self._scan.shapes)
        self._ranges = {method: self._scan.ranges(method) for method in METHODS}

    def convert(self) -> Conversion:
        method, *notes = self._best_method()
        self._ranges[method], inexact = self._exact_ranges(method)
        judged, kept, payload = self._judge(method, self._exact())
        ranking = [] if judged.passed else self._worst_first(method)
        for layer in ranking:
            if judged.passed or layer in kept or self._share((*kept, layer)) < INT8_SHARE:
                continue
            judged, kept, payload = self._judge(method, (*kept, layer))
        if not judged.passed:
            raise GateError(
                f"int8 answers too differently, also with {len(kept)} layers in higher precision: "
                f"{judged}. Calibrate on more photographs like the camera's, or use fp16"
            )
        share = self._share(kept)
        notes += [*inexact, f"{share:.1%} of the multiply-adds are int8"]
        notes += [f"{name} stays in higher precision: {self._reason(name)}" for name in kept]
        in_float = self._macs.keys() - int8_layers(self._payload, form=self._form, keep=kept)
        beside = sorted(in_float - set(kept))
        notes += [f"{name} stays with it, beside it" for name in beside]
        return Conversion(payload, self._card, judged, tuple(notes), share, kept=(*kept, *beside))

    def _exact(self) -> tuple[str, ...]:
        """The last layer, where an energy limit rests on what its logits have in common.

        That part is larger than their differences, which its rounding would drown.
        """
        last = tuple(self._macs)[-1:] if self._card.energy_limit is not None else ()
        return last if self._share(last) >= INT8_SHARE else ()

    def _reason(self, name: str) -> str:
        return "the energy rests on it" if name in self._exact() else "int8 lost most there"

    def _best_method(self) -> tuple[Method, str]:
        """The calibration method whose logits are closest to float32's on these frames.

        Another than minmax has to be clearly better: its ranges take longer to measure exactly, and
        rounding must not decide between methods.
        """
        errors = {method: self._error(method, ()) for method in METHODS}
        best = min(METHODS, key=lambda method: errors[method])
        if errors[best] > _CLEARLY * errors["minmax"]:
            best = "minmax"
        listed = ", ".join(f"{method} {error:.2e}" for method, error in errors.items())
        return best, f"calibrated by {best}; logit error on the calibration photographs: {listed}"

    def _exact_ranges(self, method: Method) -> tuple[dict[str, Range], list[str]]:
        """The ranges of one method in double precision, the same on every processor.

        The least and the greatest values come from the few frames that hold them; a histogram needs
        all frames. A graph that has no such form keeps what ONNX Runtime measured, with a note.
        """
        names = calibrated_tensors(self._payload, form=self._form)
        frames = self._calibration
        if method == "minmax":
            frames = frames[self._scan.extreme_frames(names)]
        try:
            exact = scan_exactly(self._payload, frames, progress=self._progress)
        except Exception as error:  # onnx.reference fails in many ways on what it does not know
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            note = "ranges were measured in float32, and may differ elsewhere in the last digits"
            return self._ranges[method], [f"{note}: {reason}"]
        return {name: exact.tensors[name].range(method) for name in names}, []

    def _worst_first(self, method: Method) -> list[str]:
        """Layers in the order of how much leaving each alone in float would help."""
        errors = {name: self._error(method, (name,)) for name in self._macs}
        return sorted(errors, key=lambda name: errors[name])

    def _error(self, method: Method, keep: Collection[str]) -> float:
        frames = _spread(self._calibration, _SCANNED)
        expected = _spread(self._scan.logits, _SCANNED)
        payload = int8_from_onnx(self._payload, self._ranges[method], form=self._form, keep=keep)
        found = answer(payload, frames, what="comparing", progress=self._progress)
        return _stray(expected, found)

    def _judge(
        self, method: Method, keep: tuple[str, ...]
    ) -> tuple[GateReport, tuple[str, ...], bytes]:
        payload = int8_from_onnx(self._payload, self._ranges[method], form=self._form, keep=keep)
        if self._form == "tensorrt":  # else what is not int8 would run in fp32 there
            seen = np.concatenate([self._gate.golden, _spread(self._calibration, _SCANNED)])
            payload, _ = fp16_from_onnx(payload, frames=seen, progress=self._progress)
        literal = self._form == "tensorrt"
        return self._gate.judge(payload, "int8", literal=literal), keep, payload

    def _share(self, keep: Collection[str]) -> float:
        """Share of the multiply-adds that run in int8."""
        names = int8_layers(self._payload, form=self._form, keep=keep)
        return sum(self._macs[name] for name in names) / max(sum(self._macs.values()), 1)


def _described(conversion: Conversion, card: ModelCard, precision: Precision) -> ModelCard:
    import onnx
    import onnxruntime

    tools = {**card.tools, "onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__}
    card = replace(card, precision=precision, tools=tools)
    if precision == "int8":  # its own answers, so that a device can be held to them
        logits = answer_exactly(conversion.payload, golden_frames(card.height, card.width))
        card = replace(card, golden=golden_rows(logits))
    if conversion.gate.n and card.accuracy is None:
        card = replace(card, accuracy=conversion.gate.accuracy, accuracy_n=conversion.gate.n)
    return card


def _stray(expected: Logits, found: Logits) -> float:
    """Root mean square error of logits (n, classes) relative to their spread.

    A shift that all classes share changes no probability, so it does not count.
    """
    difference = found - expected
    difference = difference - difference.mean(1, keepdims=True)
    spread = max(float(np.ptp(expected)), float(np.finfo(np.float32).tiny))
    return float(np.sqrt(np.square(difference).mean())) / spread


def _spread(items: NDArray[_T], count: int) -> NDArray[_T]:
    """At most `count` of the items, evenly spread."""
    if len(items) <= count:
        return items
    return items[np.arange(count) * len(items) // count]
