"""Foreign classifiers: give any single-input ONNX image classifier edgecat's interface and card.

The reference is the foreign file itself: its logits for the golden frames, normalised as the card
specifies, are stored in the card.
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
        std: the result is divided by it (1/255 for a model that takes 0..255).
        size: height and width; optional if the model fixes them.
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
        raise UserError(f"{name} accepts any size; choose one to serve it at: --size 224")
    if any(own and own != asked for own, asked in zip(fixed, (height, width), strict=True)):
        raise UserError(
            f"{name} has a fixed size of {fixed[0]}x{fixed[1]}; got --size {height}x{width}"
        )
    if min(std) <= 0:
        raise UserError(f"--std is {std}; expected three numbers above 0")
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
    """Determine the input of a foreign graph.

    Raises:
        UserError: not an ONNX model, or not exactly one float image input of three channels.
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
    dynamic, the output float32 `logits`; a final softmax is removed, since the runtime has its own.
    The result is compared with the foreign model on the golden frames, in batches of one and four.

    Args:
        payload: the foreign ONNX model.
        card: from `card_for_foreign`.

    Returns:
        The unsealed ONNX model, and the card with the foreign model's golden logits.

    Raises:
        UserError: unsuitable model, or a number of classes that differs from the number of labels.
        GateError: the wrapped model returns different logits, or supports only single frames.
    """
    import onnx

    source = foreign_input(payload)
    model = modern(_load(payload))
    softmax = strip_softmax(model.graph)
    reference, rank = _reference(payload, source, card)
    if reference.shape[1] != card.classes:
        raise CardError(
            f"the model has {reference.shape[1]} classes; got {card.classes} labels. "
            "Give one label per line, in the order of its output"
        )
    wrap(model, source, card, rank)
    wrapped: bytes = model.SerializeToString()
    try:
        onnx.checker.check_model(wrapped)
        logits = _checked(wrapped, card)
    except GateError:
        raise
    except Exception as error:  # onnx and onnxruntime exceptions have no common base class
        reason = (str(error).strip().splitlines() or ["unknown"])[0]
        raise GateError(
            f"the model cannot run with uint8 frames and a dynamic batch ({reason}). Export it "
            "with a dynamic batch axis"
        ) from error
    compared = _softmax(logits) if softmax else logits
    off = logit_error(reference, compared, reference)
    if not off <= LOGIT_LIMITS["fp32"]:
        raise GateError(
            f"logits of the wrapped model differ by {off:.1e} from the original's; at most "
            f"{LOGIT_LIMITS['fp32']:.0e} is allowed. Export it with a dynamic batch axis"
        )
    golden = golden_rows(logits if softmax else reference)
    return wrapped, replace(card, golden=golden, tools={"onnx": onnx.__version__})


def normalised(frames: Frames, card: ModelCard) -> NDArray[np.float32]:
    """Convert frames (n, h, w, 3) BGR to float32 (n, 3, h, w) RGB, normalised as in the card."""
    values = frames[..., ::-1].astype(np.float32) / 255
    values = (values - np.asarray(card.mean, np.float32)) / np.asarray(card.std, np.float32)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def _reference(payload: bytes, source: ForeignInput, card: ModelCard) -> tuple[Logits, int]:
    """The foreign file's logits for the golden frames, as (4, classes), and their rank."""
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
    """The wrapped model's logits for the golden frames, which must not depend on the batch."""
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
            "the model's logits for a frame depend on the others in the batch. Export it with a "
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
        raise UserError("this is not an ONNX model, or it is truncated. Copy it again") from error
    if not model.graph.node:
        raise UserError("this is not an ONNX model: it contains no graph. Export it again")
    return model


def _shape(item: Any) -> list[int]:
    """Dimensions of an input, 0 for dynamic ones."""
    return [int(dim.dim_value) for dim in item.type.tensor_type.shape.dim]


def _softmax(logits: Logits) -> Logits:
    exponents = np.exp(logits - logits.max(1, keepdims=True))
    probabilities: Logits = exponents / exponents.sum(1, keepdims=True)
    return probabilities
