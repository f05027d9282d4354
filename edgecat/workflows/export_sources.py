"""The inputs of an export: a model, and photographs for calibration and for the gate."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgecat.data.folder import ImageSet, LabelledImage, scan, split
from edgecat.workflows.reporter import Reporter
from edgecat_export.precision.gate import Photographs
from edgecat_export.publish import read_onnx
from edgecat_runtime.errors import EdgecatError, GateError, UserError
from edgecat_runtime.images import ImageError, decode_image
from edgecat_runtime.model.artifact import read_card
from edgecat_runtime.model.card import CardMissing, Fit, ModelCard
from edgecat_runtime.model.preprocess import preprocess
from edgecat_runtime.model.torch_files import TORCH_SUFFIXES

CALIBRATED = 256


@dataclass(frozen=True)
class ForeignModel:
    """What a foreign model's file does not specify.

    Attributes:
        labels: in the order of the model's output.
        mean: subtracted from RGB values in 0..1.
        std: the result is divided by it.
        size: height and width in pixels; None for the model's own.
        fit: how a frame is fitted to that size.
        colour: the order of the colours that it takes, `rgb` or `bgr`, or `grey`; None: RGB, or
            grey where it takes one channel.

    Example:
        >>> imagenet = ForeignModel(
        ...     labels=("cat", "dog"), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
        ... )
        >>> imagenet.given
        True
    """

    labels: tuple[str, ...] | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    size: tuple[int, int] | None = None
    fit: Fit | None = None
    colour: Literal["rgb", "bgr", "grey"] | None = None

    @property
    def given(self) -> bool:
        """Whether any of it was given."""
        return self != ForeignModel()


def read_model(path: Path, described: ForeignModel) -> tuple[bytes, ModelCard, tuple[str, ...]]:
    """Read a checkpoint, an ONNX file of edgecat's, or a foreign one.

    Returns:
        Its graph, its card, and what was decided about a foreign one, for people.

    Raises:
        UserError: no such file, or a foreign model without a description.
        GateError: the file was modified, or a wrapped foreign model changes its predictions.
    """
    if path.suffix == ".safetensors":
        from edgecat.models.checkpoint import load_checkpoint
        from edgecat_export.graph.deployed import card_for_onnx, onnx_from_model

        _check_not(described, path)
        model, card = load_checkpoint(path)
        return onnx_from_model(model, card), card_for_onnx(card), ()
    if path.suffix in TORCH_SUFFIXES:
        raise UserError(
            f"{path} is a torch file, which cannot be exported: it has no card and may contain "
            "code. Build the module, load its weights and call export_onnx(module, card, "
            "'model.onnx') of edgecat_export.graph (see samples/own_module.py), or write it with "
            "torch.onnx.export (TorchScript: torch.jit.load, then dynamo=False) and describe that "
            "file: edgecat export model.onnx --labels FILE"
        )
    if path.suffix != ".onnx":
        raise UserError(f"{path} cannot be exported; expected a .safetensors or .onnx file")
    if described.labels is not None and not _has_card(path):
        return _read_foreign(path, described)
    try:
        own = read_onnx(path)
    except CardMissing as error:
        if described.given:
            return _read_foreign(path, described)
        raise UserError(
            f"{path} has no model card. Describe it: --labels FILE --mean 0.485,0.456,0.406 "
            "--std 0.229,0.224,0.225 --size 224"
        ) from error
    _check_not(described, path)
    return (*own, ())


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
    used, judged = ImageSet(card.labels, ()), ImageSet(card.labels, ())
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


def _has_card(path: Path) -> bool:
    try:
        read_card(path)
    except GateError:  # it was modified after it got its card
        raise
    except EdgecatError:  # its own reader says what is wrong with a foreign file
        return False
    return True


def _check_not(described: ForeignModel, path: Path) -> None:
    if described.given:
        raise UserError(
            f"--labels, --mean, --std, --size, --fit and --colour describe a foreign .onnx file; "
            f"{path} has a model card, which says all of it. Leave them out; to change them, name "
            "the file that it was made from"
        )


def _read_foreign(path: Path, described: ForeignModel) -> tuple[bytes, ModelCard, tuple[str, ...]]:
    from edgecat_export.graph.foreign import card_for_foreign, onnx_from_foreign
    from edgecat_export.graph.foreign_file import class_names, parsed, read_foreign

    payload = read_foreign(path)
    labels = described.labels or class_names(parsed(payload))
    if labels is None:
        raise UserError(
            f"{path} does not say what its classes are called. Give a file with one label per "
            "line, in the order of its output: --labels FILE"
        )
    card = card_for_foreign(
        payload,
        name=path.stem,
        labels=labels,
        mean=described.mean,
        std=described.std,
        size=described.size,
        fit=described.fit or "crop",
    )
    wrapped = onnx_from_foreign(payload, card, colour=described.colour)
    own = () if described.labels else (f"class names from the model: {', '.join(labels[:5])}",)
    return wrapped.payload, wrapped.card, (*own, *wrapped.notes)


def _stratified(pictures: ImageSet, count: int) -> tuple[LabelledImage, ...]:
    """At most `count` images, evenly spaced and balanced over the labels."""
    groups = [[p for p in pictures.pictures if p.label == i] for i in range(len(pictures.labels))]
    chosen = []
    for group in groups:
        wanted = min(len(group), -(-count // max(1, sum(map(bool, groups)))))
        chosen += [group[i * len(group) // wanted] for i in range(wanted)]
    return tuple(chosen)


def _frames(
    pictures: Sequence[LabelledImage], card: ModelCard, what: str, reporter: Reporter
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Decode and preprocess images on every core; unreadable ones are reported."""

    def read(picture: LabelledImage) -> NDArray[np.uint8] | str:
        try:
            frame = decode_image(picture.read(), picture.name)
        except ImageError as error:
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
