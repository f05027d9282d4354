"""Foreign classifiers: any single-input ONNX image classifier gets edgecat's interface and card.

The reference is the foreign file itself: its answers to the golden frames, normalised as its card
says, travel in the card.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat_export.graph.foreign_graph import ForeignInput, modern, strip_softmax, wrap
from edgecat_export.precision.scan import session_from_onnx
from edgecat_runtime.errors import GateError, UserError
from edgecat_runtime.model.card import CardError, Fit, ModelCard
from edgecat_runtime.model.golden import golden_frames, golden_rows, preprocess_fingerprint
from edgecat_runtime.model.parity import LOGIT_LIMITS, logit_error
from edgecat_runtime.model.status import check_class_names
from edgecat_runtime.types import Frames, Logits

_FLOAT = 1
_BATCHES = (1, 4)


def card_for_foreign(
    payload: bytes,
    *,
    name: str,
    labels: Sequence[str],
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    size: tuple[int, int] | None = None,
    fit: Fit = "crop",
) -> ModelCard:
    """Describe a foreign classifier; its golden logits are filled in by `onnx_from_foreign`.

    Args:
        payload: the foreign ONNX model.
        name: becomes the card's architecture.
        labels: in the order of its output.
        mean: subtracted from RGB values in 0..1.
        std: divides them after that (1/255 for a model that takes 0..255).
        size: height and width; may be left out where the model fixes them.
        fit: `crop`, `letterbox` or `stretch`.

    Raises:
        UserError: no such classifier, no size, another size than the model's, or a label that is
            the word for a status, such as `unsure`.
    """
    check_class_names(labels)
    source = foreign_input(payload)
    fixed = (source.height, source.width)
    height, width = size or fixed
    if not height or not width:
        raise UserError(f"{name} takes any size, so say which to serve it at: --size 224")
    if any(own and own != asked for own, asked in zip(fixed, (height, width), strict=True)):
        raise UserError(f"{name} takes {fixed[0]}x{fixed[1]}; --size asks for {height}x{width}")
    if min(std) <= 0:
        raise UserError(f"--std {std} divides the colours; expected three numbers above 0")
    return ModelCard(
        architecture=name,
        labels=tuple(labels),
        height=height,
        width=width,
        fit=fit,
        mean=mean,
        std=std,
        preprocess_golden=preprocess_fingerprint(height, width, fit),
    )


def foreign_input(payload: bytes) -> ForeignInput:
    """Find out what a foreign graph takes.

    Raises:
        UserError: it is no ONNX model, or not one float image input of three channels.
    """
    graph = _load(payload).graph
    constants = {item.name for item in graph.initializer}
    inputs = [item for item in graph.input if item.name not in constants]
    shapes = [_shape(item) for item in inputs]
    if len(inputs) != 1 or len(shapes[0]) != 4 or 3 not in (shapes[0][1], shapes[0][3]):
        raise UserError(
            f"the model takes {shapes}; expected one image input, (n, 3, h, w) or (n, h, w, 3)"
        )
    if inputs[0].type.tensor_type.elem_type != _FLOAT:
        raise UserError("the model's input is not float32; export it in float32 first")
    batch, *rest = shapes[0]
    last = rest[0] != 3
    height, width = rest[:2] if last else rest[1:]
    return ForeignInput(inputs[0].name, batch, height, width, last)


def onnx_from_foreign(payload: bytes, card: ModelCard) -> tuple[bytes, ModelCard]:
    """Give a foreign classifier the deployed interface.

    The input becomes uint8 (batch, h, w, 3) BGR with the normalisation in the graph, the batch
    free, the output float32 `logits`; a softmax at the end is taken off, for the runtime has its
    own. The result is held against the foreign model on the golden frames, one and four at once.

    Args:
        payload: the foreign ONNX model.
        card: from `card_for_foreign`.

    Returns:
        The ONNX model, unsealed, and the card with the foreign model's golden logits.

    Raises:
        UserError: no such classifier, or another number of classes than labels.
        GateError: the wrapped model answers differently, or only one frame at a time.
    """
    import onnx

    source = foreign_input(payload)
    model = modern(_load(payload))
    softmax = strip_softmax(model.graph)
    reference, rank = _reference(payload, source, card)
    if reference.shape[1] != card.classes:
        raise CardError(
            f"the model has {reference.shape[1]} classes and {card.classes} labels were given. "
            "Give one label per line, in the order of its output"
        )
    wrap(model, source, card, rank)
    wrapped: bytes = model.SerializeToString()
    try:
        onnx.checker.check_model(wrapped)
        logits = _checked(wrapped, card)
    except GateError:
        raise
    except Exception as error:  # onnx's and onnxruntime's errors share no base class
        reason = (str(error).strip().splitlines() or ["unknown"])[0]
        raise GateError(
            f"the model does not run with uint8 frames and a free batch ({reason}). Export it "
            "with a dynamic batch axis"
        ) from error
    compared = _softmax(logits) if softmax else logits
    off = logit_error(reference, compared, reference)
    if not off <= LOGIT_LIMITS["fp32"]:
        raise GateError(
            f"the wrapped model answers {off:.1e} off the foreign one; at most "
            f"{LOGIT_LIMITS['fp32']:.0e} is allowed. Export it with a dynamic batch axis"
        )
    golden = golden_rows(logits if softmax else reference)
    return wrapped, replace(card, golden=golden, tools={"onnx": onnx.__version__})


def normalised(frames: Frames, card: ModelCard) -> NDArray[np.float32]:
    """Frames (n, h, w, 3) BGR as float32 (n, 3, h, w) RGB by the card's mean and std."""
    values = frames[..., ::-1].astype(np.float32) / 255
    values = (values - np.asarray(card.mean, np.float32)) / np.asarray(card.std, np.float32)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def _reference(payload: bytes, source: ForeignInput, card: ModelCard) -> tuple[Logits, int]:
    """The foreign file's own answers to the golden frames, as (4, classes), and their rank."""
    frames = normalised(golden_frames(card.height, card.width), card)
    frames = frames.transpose(0, 2, 3, 1) if source.channels_last else frames
    session = _session(payload)
    size = source.batch or len(frames)
    answers, rank = [], 2
    for start in range(0, len(frames), size):
        batch = frames[start : start + size]
        padded = np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])
        output = session.run(None, {source.name: np.ascontiguousarray(padded)})[0]
        rank = output.ndim
        answers.append(np.asarray(output, np.float32).reshape(size, -1)[: len(batch)])
    return np.concatenate(answers), rank


def _checked(payload: bytes, card: ModelCard) -> Logits:
    """The wrapped model's answers to the golden frames, which must not depend on the batch."""
    frames = golden_frames(card.height, card.width)
    session = _session(payload)
    alone, together = (
        np.concatenate(
            [session.run(None, {"frames": frames[i : i + n]})[0] for i in range(0, len(frames), n)]
        )
        for n in _BATCHES
    )
    if logit_error(alone, together, alone) > LOGIT_LIMITS["fp32"]:
        raise GateError(
            "the model's answer to a frame depends on the others in the batch. Export it with a "
            "dynamic batch axis"
        )
    return together


def _session(payload: bytes) -> Any:
    try:
        return session_from_onnx(payload)
    except UserError:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or ["unknown"])[0]
        raise UserError(f"onnxruntime cannot open the model: {reason}") from error


def _load(payload: bytes) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_from_string(payload)
    except DecodeError as error:
        raise UserError(
            "this is not an ONNX model, or only a part of one. Copy it again"
        ) from error
    if not model.graph.node:
        raise UserError("this is not an ONNX model: it holds no graph. Export it again")
    return model


def _shape(item: Any) -> list[int]:
    """Dimensions of an input, 0 for those that are free."""
    return [int(dim.dim_value) for dim in item.type.tensor_type.shape.dim]


def _softmax(logits: Logits) -> Logits:
    exponents = np.exp(logits - logits.max(1, keepdims=True))
    probabilities: Logits = exponents / exponents.sum(1, keepdims=True)
    return probabilities
