"""The inputs of an export: a model, and photographs for calibration and for the gate."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecat.data.folder import Picture, PictureSet, scan, split
from edgecat.workflows.reporter import Reporter
from edgecat_export.precision.gate import Photographs
from edgecat_export.publish import read_onnx
from edgecat_runtime.errors import UserError
from edgecat_runtime.images import PictureError, decode_picture
from edgecat_runtime.model.card import CardError, Fit, ModelCard
from edgecat_runtime.model.preprocess import preprocess

CALIBRATED = 256


@dataclass(frozen=True)
class Described:
    """What a foreign model's file does not specify.

    Attributes:
        labels: in the order of the model's output.
        mean: subtracted from RGB values in 0..1.
        std: the result is divided by it.
        size: height and width in pixels; None for the model's own.
        fit: how a frame is fitted to that size.
    """

    labels: tuple[str, ...] | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    size: tuple[int, int] | None = None
    fit: Fit | None = None

    @property
    def given(self) -> bool:
        """Whether any of it was given."""
        return self != Described()


def read_model(path: Path, described: Described) -> tuple[bytes, ModelCard]:
    """Read a checkpoint, an ONNX file of edgecat's, or a foreign one: its graph and its card.

    Raises:
        UserError: no such file, or a foreign model without a description.
        GateError: the file was modified, or a wrapped foreign model changes its predictions.
    """
    if path.suffix == ".safetensors":
        from edgecat.models.checkpoint import load_checkpoint
        from edgecat_export.graph.deployed import card_for_onnx, onnx_from_model

        _check_not(described, path)
        model, card = load_checkpoint(path)
        return onnx_from_model(model, card), card_for_onnx(card)
    if path.suffix != ".onnx":
        raise UserError(f"{path} cannot be exported; expected a .safetensors or .onnx file")
    if described.labels is None:
        _check_not(described, path)
        try:
            return read_onnx(path)
        except CardError as error:
            if "no model card" not in str(error):
                raise
            raise UserError(
                f"{path} has no model card. Describe it: --labels FILE --mean 0.485,0.456,0.406 "
                "--std 0.229,0.224,0.225 --size 224"
            ) from error
    return _read_foreign(path, described.labels, described)


def photographs_for(
    card: ModelCard,
    calibrate: Sequence[Path],
    gate: Sequence[Path],
    *,
    limit: int,
    reporter: Reporter,
) -> tuple[NDArray[np.uint8] | None, Photographs | None]:
    """Choose and preprocess the photographs for calibration and for the gate.

    Calibration takes up to 256, balanced over the classes, and none under test/. The gate takes
    those of `gate`; without it, those of `calibrate` under test/, otherwise a held-out part.

    Args:
        card: provides the labels and the input.
        calibrate: folders or tars; may be empty.
        gate: folders or tars; may be empty.
        limit: maximum number of photographs for the gate, balanced over the classes; 0 for all.
        reporter: receives the progress.
    """
    used, judged = PictureSet(card.labels, ()), PictureSet(card.labels, ())
    if calibrate:
        found = scan(calibrate, labels=card.labels)
        used, held = split(found)
        judged = found.subset("test") if found.subset("test").pictures else held
        if gate:  # nothing needs to be held out
            used = replace(found, pictures=tuple(p for p in found.pictures if p.split != "test"))
    if gate:
        judged = scan(gate, labels=card.labels)
    frames, _ = _frames(_stratified(used, CALIBRATED), card, "reading calibration images", reporter)
    chosen = _stratified(judged, limit or len(judged))
    seen, labels = _frames(chosen, card, "reading gate images", reporter)
    return (frames if len(frames) else None), (Photographs(seen, labels) if len(seen) else None)


def _check_not(described: Described, path: Path) -> None:
    if described.given:
        raise UserError(
            f"--mean, --std, --size and --fit describe a foreign .onnx file and need --labels "
            f"FILE; {path} was given only some of them or already has a model card"
        )


def _read_foreign(
    path: Path, labels: tuple[str, ...], described: Described
) -> tuple[bytes, ModelCard]:
    from edgecat_export.graph.foreign import card_for_foreign, onnx_from_foreign

    try:
        payload = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}. Check the path") from error
    card = card_for_foreign(
        payload,
        name=path.stem,
        labels=labels,
        mean=_known(described.mean, "--mean"),
        std=_known(described.std, "--std"),
        size=described.size,
        fit=described.fit or "crop",
    )
    return onnx_from_foreign(payload, card)


def _known(numbers: tuple[float, float, float] | None, option: str) -> tuple[float, float, float]:
    if numbers is None:
        raise UserError(
            f"{option} is missing; expected three numbers for red, green and blue in 0..1, such "
            f"as {option} 0.5,0.5,0.5"
        )
    return numbers


def _stratified(pictures: PictureSet, count: int) -> tuple[Picture, ...]:
    """At most `count` images, evenly spaced and balanced over the labels."""
    groups = [[p for p in pictures.pictures if p.label == i] for i in range(len(pictures.labels))]
    chosen = []
    for group in groups:
        wanted = min(len(group), -(-count // max(1, sum(map(bool, groups)))))
        chosen += [group[i * len(group) // wanted] for i in range(wanted)]
    return tuple(chosen)


def _frames(
    pictures: Sequence[Picture], card: ModelCard, what: str, reporter: Reporter
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Decode and preprocess images on every core; unreadable ones are reported."""

    def read(picture: Picture) -> NDArray[np.uint8] | str:
        try:
            frame = decode_picture(picture.read(), picture.name)
        except PictureError as error:
            return str(error)
        return preprocess(frame, card.height, card.width, card.fit)

    frames, labels = [], []
    with (
        reporter.progress(len(pictures), what) as advance,
        ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        for picture, frame in zip(pictures, pool.map(read, pictures), strict=True):
            advance()
            if isinstance(frame, str):
                reporter.warn(f"skipped: {frame}")
                continue
            frames.append(frame)
            labels.append(picture.label)
    empty = np.zeros((0, card.height, card.width, 3), np.uint8)
    return np.stack(frames) if frames else empty, np.asarray(labels, np.int64)
