"""From a float32 graph to fp16 or int8, with the accuracy gate before any file is written."""

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
from edgecat_runtime.system.foreign_text import one_line
from edgecat_runtime.system.telemetry import import_onnxruntime
from edgecat_runtime.types import Frames, Logits

INT8_SHARE = 0.8
LEVELS = 192  # of the 256 that a camera gives; photographs span nearly all of them
_T = TypeVar("_T", np.uint8, np.float32)
_CLEARLY = 0.9  # of minmax's error: another calibration method must stay below this
_SCANNED = 64  # photographs for the overflow scan and for ranking layers


@dataclass(frozen=True)
class Conversion:
    """A converted graph that passed its gate, not yet written.

    Attributes:
        payload: the serialised ONNX model.
        card: with precision and golden logits. The accuracy is the one measured on the float32
            model in training; if there is none, the gate's, on its photographs.
        gate: the comparison with float32.
        notes: decisions made during conversion, for people.
        int8_share: fraction of the multiply-adds that run in int8, 0..1.
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
    """Convert a float32 graph and compare the result with it.

    Args:
        payload: the deployed float32 ONNX model, unsealed.
        card: its card.
        precision: `fp16` or `int8`.
        form: of int8: `cpu`, or `tensorrt` (fp16 around the int8 layers).
        calibration: uint8 (n, height, width, 3) BGR, preprocessed photographs of every class to
            calibrate int8's ranges on.
        photographs: labelled ones for the gate, none of them used for calibration.
        progress: called after each batch with the current activity.

    Raises:
        UserError: not a float32 model, or int8 without calibration.
        GateError: the result drifts beyond the limit; the message says by how much, and the fix.
    """
    if card.precision != "fp32":
        raise UserError(
            f"this model is already {card.precision}; only an fp32 model can be converted to "
            f"{precision}. Use the checkpoint or its fp32 .onnx file"
        )
    gate = Gate(payload, card, photographs, progress=progress)
    if precision == "fp16":
        conversion = _half(payload, card, gate, calibration, photographs, progress)
    else:
        if calibration is None or not len(calibration):
            raise UserError(
                "int8 needs photographs like the camera's to calibrate its ranges on; got none. "
                "Add --calibrate photos/"
            )
        _check_contrast(calibration)
        conversion = _Int8(payload, card, gate, form, calibration, progress).convert()
    return replace(conversion, card=_described(conversion, card, precision))


def _check_contrast(calibration: Frames) -> None:
    """Reject images that do not use most pixel values: a camera's values would be clipped."""
    counts = np.bincount(calibration.reshape(-1), minlength=256).cumsum()
    low, high = np.searchsorted(counts, [0.001 * counts[-1], 0.999 * counts[-1]])
    if high - low < LEVELS:
        raise GateError(
            f"the calibration images span {high - low} of 255 pixel values (without the outermost "
            f"0.1 %); expected at least {LEVELS}, or int8 clips the camera's values. Calibrate "
            "on photographs like the camera's"
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
        raise GateError(f"fp16 drifts beyond the limit: {judged}. Serve this model in fp32")
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
                f"int8 drifts beyond the limit, even with {len(kept)} layers in higher precision: "
                f"{judged}. Calibrate on more photographs like the camera's, or use fp16"
            )
        share = self._share(kept)
        notes += [*inexact, f"{share:.1%} of the multiply-adds are int8"]
        notes += [f"{name} stays in higher precision: {self._reason(name)}" for name in kept]
        in_float = self._macs.keys() - int8_layers(self._payload, form=self._form, keep=kept)
        beside = sorted(in_float - set(kept))
        notes += [f"{name} stays too, next to a kept layer" for name in beside]
        return Conversion(payload, self._card, judged, tuple(notes), share, kept=(*kept, *beside))

    def _exact(self) -> tuple[str, ...]:
        """The last layer, if an energy limit depends on the common part of its logits.

        That part is larger than their differences, which its rounding would mask.
        """
        last = tuple(self._macs)[-1:] if self._card.energy_limit is not None else ()
        return last if self._share(last) >= INT8_SHARE else ()

    def _reason(self, name: str) -> str:
        return "the energy depends on it" if name in self._exact() else "int8 lost most there"

    def _best_method(self) -> tuple[Method, str]:
        """The calibration method whose logits are closest to float32's on these frames.

        Methods other than minmax must be clearly better: their exact ranges take longer to measure,
        and rounding must not decide between methods.
        """
        errors = {method: self._error(method, ()) for method in METHODS}
        best = min(METHODS, key=lambda method: errors[method])
        if errors[best] > _CLEARLY * errors["minmax"]:
            best = "minmax"
        listed = ", ".join(f"{method} {error:.2e}" for method, error in errors.items())
        return best, f"calibrated by {best}; logit error on the calibration photographs: {listed}"

    def _exact_ranges(self, method: Method) -> tuple[dict[str, Range], list[str]]:
        """The ranges of one method in double precision, identical on every CPU.

        Minimum and maximum come from the few frames that contain them; a histogram needs all
        frames. A graph that cannot be computed in double precision keeps ONNX Runtime's ranges.
        """
        names = calibrated_tensors(self._payload, form=self._form)
        frames = self._calibration
        if method == "minmax":
            frames = frames[self._scan.extreme_frames(names)]
        try:
            exact = scan_exactly(self._payload, frames, progress=self._progress)
        except Exception as error:  # onnx.reference fails in many ways on unsupported operators
            reason = one_line(error)
            note = "ranges were measured in float32; the last digits may differ on other machines"
            return self._ranges[method], [f"{note}: {reason}"]
        return {name: exact.tensors[name].range(method) for name in names}, []

    def _worst_first(self, method: Method) -> list[str]:
        """Layers ranked by how much keeping each one alone in float would help."""
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
        if self._form == "tensorrt":  # otherwise the rest would run in fp32 there
            seen = np.concatenate([self._gate.golden, _spread(self._calibration, _SCANNED)])
            payload, _ = fp16_from_onnx(payload, frames=seen, progress=self._progress)
        literal = self._form == "tensorrt"
        return self._gate.judge(payload, "int8", literal=literal), keep, payload

    def _share(self, keep: Collection[str]) -> float:
        """Fraction of the multiply-adds that run in int8."""
        names = int8_layers(self._payload, form=self._form, keep=keep)
        return sum(self._macs[name] for name in names) / max(sum(self._macs.values()), 1)


def _described(conversion: Conversion, card: ModelCard, precision: Precision) -> ModelCard:
    import onnx

    versions = {"onnx": onnx.__version__, "onnxruntime": import_onnxruntime().__version__}
    tools = {**card.tools, **versions}
    card = replace(card, precision=precision, tools=tools)
    if precision == "int8":  # its own logits, to verify devices against
        logits = answer_exactly(conversion.payload, golden_frames(card.height, card.width))
        card = replace(card, golden=golden_rows(logits))
    if conversion.gate.n and card.accuracy is None:
        card = replace(card, accuracy=conversion.gate.accuracy, accuracy_n=conversion.gate.n)
    return card


def _stray(expected: Logits, found: Logits) -> float:
    """Root mean square error of logits (n, classes) relative to their spread.

    A shift common to all classes changes no probability, so it is ignored.
    """
    difference = found - expected
    difference = difference - difference.mean(1, keepdims=True)
    spread = max(float(np.ptp(expected)), float(np.finfo(np.float32).tiny))
    return float(np.sqrt(np.square(difference).mean())) / spread


def _spread(items: NDArray[_T], count: int) -> NDArray[_T]:
    """At most `count` of the items, evenly spaced."""
    if len(items) <= count:
        return items
    return items[np.arange(count) * len(items) // count]
