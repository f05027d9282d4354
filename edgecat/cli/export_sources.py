"""Where an export begins: a model from a file, and photographs to calibrate on and judge by."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecat.cli.console import progress, warn
from edgecat.cli.models import read_labels
from edgecat.data.folder import Picture, PictureSet, scan, split
from edgecat_export.gate import Photographs
from edgecat_export.publish import read_onnx
from edgecat_runtime.card import CardError, Fit, ModelCard
from edgecat_runtime.errors import UserError
from edgecat_runtime.pictures import PictureError, decode_picture
from edgecat_runtime.preprocess import preprocess

CALIBRATED = 256


@dataclass(frozen=True)
class Described:
    """What a foreign model's file does not say of itself.

    Attributes:
        labels: a text file, one label a line.
        mean: three numbers, subtracted from RGB values in 0..1.
        std: three numbers that divide them.
        size: `224` or `HEIGHTxWIDTH`.
        fit: how a frame meets that size.
    """

    labels: Path | None = None
    mean: str = ""
    std: str = ""
    size: str = ""
    fit: Fit | None = None

    @property
    def given(self) -> bool:
        """Whether anything was."""
        return bool(self.labels or self.mean or self.std or self.size or self.fit)


def read_model(path: Path, described: Described) -> tuple[bytes, ModelCard]:
    """Read a checkpoint, an ONNX file of edgecat's, or a foreign one: its graph and its card.

    Raises:
        UserError: no such file, or a foreign model that is not described.
        GateError: it was changed, or a foreign one does not answer the same once wrapped.
    """
    if path.suffix == ".safetensors":
        from edgecat.checkpoint import load_checkpoint
        from edgecat_export.graph import card_for_onnx, onnx_from_model

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
    card: ModelCard, calibrate: Sequence[Path], gate: Sequence[Path], limit: int
) -> tuple[NDArray[np.uint8] | None, Photographs | None]:
    """Choose and preprocess the photographs to calibrate on and to judge by.

    Calibration takes up to 256, as many of each class, and never one under test/. The gate takes
    those of `gate`; without it, those of `calibrate` under test/, or else a share held back.

    Args:
        card: whose labels and input count.
        calibrate: folders or tars; may be empty.
        gate: folders or tars; may be empty.
        limit: at most so many photographs for the gate, as many of each class; 0 for all.
    """
    used, judged = PictureSet(card.labels, ()), PictureSet(card.labels, ())
    if calibrate:
        found = scan(calibrate, labels=card.labels)
        used, held = split(found)
        judged = found.subset("test") if found.subset("test").pictures else held
        if gate:  # nothing needs to be held back
            used = replace(found, pictures=tuple(p for p in found.pictures if p.split != "test"))
    if gate:
        judged = scan(gate, labels=card.labels)
    frames, _ = _frames(_stratified(used, CALIBRATED), card, "reading to calibrate")
    chosen = _stratified(judged, limit or len(judged))
    seen, labels = _frames(chosen, card, "reading to judge")
    return (frames if len(frames) else None), (Photographs(seen, labels) if len(seen) else None)


def _check_not(described: Described, path: Path) -> None:
    if described.given:
        raise UserError(
            f"--mean, --std, --size and --fit describe a foreign .onnx file and come with --labels "
            f"FILE; {path} got only some of them or says all of it itself"
        )


def _read_foreign(path: Path, labels: Path, described: Described) -> tuple[bytes, ModelCard]:
    from edgecat_export.foreign import card_for_foreign, onnx_from_foreign

    try:
        payload = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}. Check the path") from error
    card = card_for_foreign(
        payload,
        name=path.stem,
        labels=read_labels(labels),
        mean=_three(described.mean, "--mean"),
        std=_three(described.std, "--std"),
        size=_size(described.size),
        fit=described.fit or "crop",
    )
    return onnx_from_foreign(payload, card)


def _three(text: str, option: str) -> tuple[float, float, float]:
    try:
        red, green, blue = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(
            f"{option} {text or 'is missing'}; expected three numbers, of red, green and blue in "
            f"0..1, such as {option} 0.5,0.5,0.5"
        ) from error
    return red, green, blue


def _size(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise UserError(f"--size {text}; expected pixels, such as 224 or 240x320 (height x width)")
    return int(parts[0]), int(parts[-1])


def _stratified(pictures: PictureSet, count: int) -> tuple[Picture, ...]:
    """At most `count` pictures, evenly spread and as many of each label as there are."""
    groups = [[p for p in pictures.pictures if p.label == i] for i in range(len(pictures.labels))]
    chosen = []
    for group in groups:
        wanted = min(len(group), -(-count // max(1, sum(map(bool, groups)))))
        chosen += [group[i * len(group) // wanted] for i in range(wanted)]
    return tuple(chosen)


def _frames(
    pictures: Sequence[Picture], card: ModelCard, what: str
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Decode and preprocess pictures on every core; those that cannot be read are named."""

    def read(picture: Picture) -> NDArray[np.uint8] | str:
        try:
            frame = decode_picture(picture.read(), picture.name)
        except PictureError as error:
            return str(error)
        return preprocess(frame, card.height, card.width, card.fit)

    frames, labels = [], []
    with progress(len(pictures), what) as advance, ThreadPoolExecutor(os.cpu_count()) as pool:
        for picture, frame in zip(pictures, pool.map(read, pictures), strict=True):
            advance()
            if isinstance(frame, str):
                warn(f"skipped: {frame}")
                continue
            frames.append(frame)
            labels.append(picture.label)
    empty = np.zeros((0, card.height, card.width, 3), np.uint8)
    return np.stack(frames) if frames else empty, np.asarray(labels, np.int64)
