"""A foreign model's output for frames: the reference for its wrapped form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat_export.graph.foreign_input import Colour, ForeignInput, foreign_inputs
from edgecat_export.graph.foreign_scores import wrong_count
from edgecat_export.precision.scan import session_from_onnx
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.card import ModelCard, Precision
from edgecat_runtime.model.golden import golden_frames
from edgecat_runtime.system.foreign_text import one_line
from edgecat_runtime.types import Frames, Logits

_INTEGER_OPS = ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger")
_HALF = 10
_BATCHES = (1, 4)


@dataclass(frozen=True)
class Reference:
    """A foreign model's output.

    Attributes:
        source: how it takes images.
        colour: the order of the colours.
        output: the name of its output that scores classes.
        frames: its input, uint8 (n, h, w, 3) BGR; the golden frames come first.
        values: float32 (n, classes) or (n, 1).
        flat: whether that output has two axes by itself.
        cast: whether it is not float32 by itself.
        coarse: whether it is integers.
        half: whether it is half precision.
        notes: what was decided, for people.
    """

    source: ForeignInput
    colour: Colour
    output: str
    frames: Frames
    values: Logits
    flat: bool
    cast: bool
    coarse: bool
    half: bool
    notes: tuple[str, ...] = ()


def reference(model: Any, card: ModelCard, colour: Colour | None) -> Reference:
    """Run a foreign model on the golden frames, their negatives and noise.

    Args:
        model: from `plain`.
        card: whose size, mean and standard deviation hold.
        colour: None: RGB, or grey for one channel.

    Raises:
        UserError: ONNX Runtime does not run it, or it has no output of as many classes as labels.
    """
    frames = _frames(card)
    session = open_session(model.SerializeToString())
    failed: Exception | None = None
    for source in _readings(model, card, colour):
        order: Colour = colour or ("grey" if source.channels == 1 else "rgb")
        try:
            outputs = _outputs(session, source, source.frames(frames, card, order))
        except UserError:
            raise
        except Exception as error:  # onnxruntime's errors share no base class
            failed = failed or error
            continue
        name, note = _chosen(outputs, card.classes)
        values = outputs[name]
        return Reference(
            source,
            order,
            name,
            frames,
            values.reshape(len(frames), -1).astype(np.float32),
            flat=values.ndim == 2,
            cast=values.dtype != np.float32,
            coarse=values.dtype.kind in "iu",
            half=values.dtype == np.float16,
            notes=(note,),
        )
    reason = (str(failed).strip().splitlines() or ["unknown"])[0]
    first = foreign_inputs(model)[0]
    fix = "Export it in float32 with standard ONNX operators"
    fix = fix if first.height and first.width else f"Check --size, or {fix[0].lower()}{fix[1:]}"
    raise UserError(
        f"the model does not run on frames of {card.height}x{card.width}: {reason}. {fix}"
    ) from failed


def answers(session: Any, known: Reference, frames: Frames, card: ModelCard) -> Logits:
    """What a foreign model answers to other frames, read as `reference` found that it must be.

    Args:
        session: the model, from `open_session`.
        known: from `reference`, for the same model and card.
        frames: uint8 (n, h, w, 3) BGR of the card's size.
        card: whose mean and standard deviation hold.

    Returns:
        float32 (n, classes) or (n, 1).
    """
    taken = known.source.frames(frames, card, known.colour)
    values = _outputs(session, known.source, taken)[known.output]
    return values.reshape(len(frames), -1).astype(np.float32)


def open_session(payload: bytes) -> Any:
    """Open a model with ONNX Runtime.

    Raises:
        UserError: it cannot be opened.
    """
    try:
        return session_from_onnx(payload)
    except UserError:
        raise
    except Exception as error:
        reason = one_line(error) or "unknown"
        raise UserError(f"onnxruntime cannot open the model: {reason}") from error


def run_wrapped(payload: bytes, frames: Frames) -> tuple[Logits, Logits]:
    """A wrapped model's output (n, classes), one frame at a time and four together."""
    session = session_from_onnx(payload)
    alone, together = (
        np.concatenate(
            [session.run(None, {"frames": frames[i : i + n]})[0] for i in range(0, len(frames), n)]
        )
        for n in _BATCHES
    )
    return alone, together


def precision_of(model: Any, known: Reference) -> Precision:
    """The precision of a foreign model, which decides how far the wrapped output may differ."""
    from edgecat_export.graph.foreign_file import tensors_in

    kinds = {node.op_type for node in model.graph.node}
    if known.coarse or kinds.intersection(_INTEGER_OPS):
        return "int8"
    half = known.half or known.source.kind == _HALF
    return "fp16" if half or any(t.data_type == _HALF for t in tensors_in(model)) else "fp32"


def _frames(card: ModelCard) -> Frames:
    golden = golden_frames(card.height, card.width)
    noise = np.random.default_rng(0).integers(0, 256, golden.shape, np.uint8)
    return np.concatenate([golden, 255 - golden, noise])


def _readings(model: Any, card: ModelCard, colour: Colour | None) -> list[ForeignInput]:
    """The ways in which the model may take images that fit the colours asked for."""
    found = foreign_inputs(model)
    fitting = [f for f in found if colour is None or (colour == "grey") == (f.channels == 1)]
    if not fitting:
        raise UserError(
            f"the model takes {found[0].channels} channels; --colour asks for {colour}. "
            f"{'Leave it out' if found[0].channels == 1 else 'Use rgb or bgr'}"
        )
    if fitting[0].channels == 1 and len({*card.mean}) + len({*card.std}) > 2:
        raise UserError(
            f"the model takes grey images; --mean {card.mean} and --std {card.std} differ between "
            "colours. Give the same number three times"
        )
    return fitting


def _outputs(session: Any, source: ForeignInput, images: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Every output that is an array with one row per image."""
    names = [item.name for item in session.get_outputs()]
    size = source.batch or len(images)
    found: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        padded = np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])
        for name, value in zip(names, session.run(None, {source.name: padded}), strict=True):
            if isinstance(value, np.ndarray) and value.ndim and value.size % size == 0:
                rows = value if value.shape[0] == size else value.reshape(size, -1)
                found[name].append(rows[: len(batch)])
    whole = {name: np.concatenate(parts) for name, parts in found.items() if parts}
    return {name: value for name, value in whole.items() if len(value) == len(images)}


def _chosen(outputs: dict[str, NDArray[Any]], classes: int) -> tuple[str, str]:
    """The output that scores the classes, and a note where there was a choice."""
    widths = {name: value.size // len(value) for name, value in outputs.items()}
    scores = [name for name, value in outputs.items() if value.dtype.kind == "f"]
    scores += [name for name, value in outputs.items() if value.dtype in (np.uint8, np.int8)]
    fitting = [name for name in scores if widths[name] == classes]
    fitting += [name for name in scores if (widths[name], classes) == (1, 2)]
    if outputs and all(v.dtype.kind in "iu" and widths[n] == 1 for n, v in outputs.items()):
        raise UserError(
            "the model returns a class index, not a score per class. Export it without its ArgMax"
        )
    if not fitting:
        if not scores:
            raise UserError("the model returns no numbers per image; expected a score per class")
        raise wrong_count(widths[scores[0]], classes)
    raw = [name for name in fitting if outputs[name].min() < 0]  # logits beside probabilities
    taken = (raw or fitting)[0]
    others = [name for name in outputs if name != taken]
    note = f"output {taken!r} is served, {', '.join(map(repr, others))} left out" if others else ""
    return taken, note
