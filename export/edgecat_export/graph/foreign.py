"""Foreign classifiers: give any single-input ONNX image classifier edgecat's interface and card.

The reference is the foreign file itself: its logits for the golden frames, normalised as the card
specifies, are stored in the card.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecat_export.graph import foreign_scores
from edgecat_export.graph.foreign_answers import Reference, precision_of, reference, run_wrapped
from edgecat_export.graph.foreign_file import parsed
from edgecat_export.graph.foreign_graph import keep_output, modern, plain, wrap
from edgecat_export.graph.foreign_input import Colour, ForeignInput, foreign_inputs
from edgecat_export.graph.given import check_normalisation
from edgecat_runtime.errors import GateError, UserError
from edgecat_runtime.model.card import Fit, ModelCard
from edgecat_runtime.model.class_names import check_labels
from edgecat_runtime.model.golden import GOLDEN_COUNT, golden_rows, preprocess_fingerprint
from edgecat_runtime.model.parity import LOGIT_LIMITS, logit_error
from edgecat_runtime.types import Frames, Logits

_ROUNDING = 1e-6
_STRAIGHT = ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255))


@dataclass(frozen=True)
class Wrapped:
    """A foreign classifier behind the deployed interface.

    Attributes:
        payload: the serialised ONNX model, unsealed.
        card: with its golden logits.
        notes: what was decided on the way, for people.
    """

    payload: bytes
    card: ModelCard
    notes: tuple[str, ...] = ()


def card_for_foreign(
    payload: bytes,
    *,
    name: str,
    labels: Sequence[str],
    mean: tuple[float, float, float] | None = None,
    std: tuple[float, float, float] | None = None,
    size: tuple[int, int] | None = None,
    fit: Fit = "crop",
) -> ModelCard:
    """Describe a foreign classifier; its golden logits are filled in by `onnx_from_foreign`.

    Args:
        payload: the foreign ONNX model.
        name: becomes the card's architecture.
        labels: in the order of its output.
        mean: subtracted from RGB values in 0..1; may be left out for a model that takes integers.
        std: divides them after that (1/255 for a model that takes 0..255); likewise.
        size: height and width; may be left out where the model fixes them.
        fit: `crop`, `letterbox` or `stretch`.

    Raises:
        UserError: no such classifier, no size, or another size than the model's; labels or colours
            that cannot be right.
    """
    source = foreign_input(payload)
    fixed = (source.height, source.width)
    height, width = size or fixed
    if not height or not width:
        raise UserError(f"{name} accepts any size; choose one to serve it at: --size 224")
    if any(own and own != asked for own, asked in zip(fixed, (height, width), strict=True)):
        raise UserError(
            f"{name} has a fixed size of {fixed[0]}x{fixed[1]}; got --size {height}x{width}"
        )
    mean, std = _colours(source, mean, std)
    labels = check_labels(labels, "the labels")
    if len(labels) == 1:
        raise foreign_scores.wrong_count(1, 1)
    card = ModelCard(
        architecture="".join(c if c.isprintable() else "_" for c in name) or "foreign",
        labels=labels,
        height=height,
        width=width,
        fit=fit,
        mean=mean,
        std=std,
    )
    card.check()
    return replace(card, preprocess_golden=preprocess_fingerprint(height, width, fit))


def foreign_input(payload: bytes) -> ForeignInput:
    """Find out what a foreign graph takes; where its shape leaves that open, what is likeliest.

    Raises:
        UserError: it is no ONNX model, or does not take one image.
    """
    return foreign_inputs(parsed(payload))[0]


def onnx_from_foreign(payload: bytes, card: ModelCard, *, colour: Colour | None = None) -> Wrapped:
    """Give a foreign classifier the deployed interface.

    The input becomes uint8 (batch, h, w, 3) BGR with the normalisation in the graph, the batch
    free, the output float32 `logits`: probabilities, however they are computed, are turned into
    logits. The result is held against the foreign model, one frame and four at once.

    Args:
        payload: the foreign ONNX model.
        card: from `card_for_foreign`.
        colour: the order of the colours that it takes; None: RGB, or grey for one channel.

    Raises:
        UserError: no such classifier, or another number of classes than labels.
        GateError: the wrapped model's output differs from the original's, depends on the other
            frames in the batch, is not finite, or is the same for every frame.
    """
    import onnx

    original = plain(parsed(payload))
    known = reference(original, card, colour)
    card = replace(card, precision=precision_of(original, known))
    single = _copy(original)
    keep_output(single.graph, known.output)
    scores = foreign_scores.judged(single.graph, known.values, card.classes, coarse=known.coarse)
    card = replace(card, scores="sigmoid" if scores.kind == "sigmoids" else "softmax")
    if scores.bypassed is None:  # saturated probabilities may hide logits that differ
        _check_varied(known.values)
    wrapped, logits = _best(single, known, card, scores)
    _check_varied(logits, shared=card.scores == "softmax")
    golden = logits[:GOLDEN_COUNT] if scores.kind != "logits" else known.values[:GOLDEN_COUNT]
    card = replace(card, golden=golden_rows(golden), tools={"onnx": onnx.__version__})
    notes = tuple(note for note in (*known.notes, scores.note) if note)
    return Wrapped(wrapped, card, notes)


def normalised(frames: Frames, card: ModelCard) -> NDArray[np.float32]:
    """Convert frames (n, h, w, 3) BGR to float32 (n, 3, h, w) RGB, normalised as in the card."""
    source = ForeignInput("", 1, 0, 0, 0, channels_last=False, channels=3)
    return source.frames(frames, card, "rgb")


def _best(
    single: Any, known: Reference, card: ModelCard, scores: foreign_scores.Scores
) -> tuple[bytes, Logits]:
    """Wrap with the operator set that edgecat prefers; where that changes the model, with its own.

    Raises:
        GateError: neither reproduces the foreign model's output.
    """
    failed: Exception | None = None
    for convert in (modern, _copy):
        try:
            wrapped = _wrapped(convert(_copy(single)), known, card, scores)
            return wrapped, _checked(wrapped, known, card, scores)
        except Exception as error:  # noqa: PERF203  (onnx's and onnxruntime's have no common base)
            failed = error
    if isinstance(failed, GateError):
        raise failed
    reason = (str(failed).strip().splitlines() or [type(failed).__name__])[0]
    raise GateError(
        f"the model does not run with uint8 frames and a free batch ({reason}). "
        f"{_advice(known.source)}"
    ) from failed


def _wrapped(model: Any, known: Reference, card: ModelCard, scores: foreign_scores.Scores) -> bytes:
    import onnx
    from onnx import helper, numpy_helper

    graph = model.graph
    if scores.bypassed is not None:
        place = [node.output[0] for node in graph.node].index(scores.bypassed.output[0])
        foreign_scores.bypass(graph, graph.node[place])
    head, constants = foreign_scores.head(scores, foreign_scores.total_of(known.values))
    if known.cast or scores.bypassed is not None:
        head = _cast_first(head, helper)
    wrap(model, known.source, card, colour=known.colour, flat=known.flat, head=head)
    graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in constants.items())
    data: bytes = model.SerializeToString()
    onnx.checker.check_model(data)
    return data


def _cast_first(head: list[Any], helper: Any) -> list[Any]:
    """Begin a head with a cast to float32."""
    last = "edgecat_float" if head else "logits"
    for node in head:
        node.input[:] = [last if name == "foreign_output" else name for name in node.input]
    cast = helper.make_node("Cast", ["foreign_output"], [last], name="edgecat_float", to=1)
    return [cast, *head]


def _checked(
    payload: bytes, known: Reference, card: ModelCard, scores: foreign_scores.Scores
) -> Logits:
    """The wrapped model's output, which must match the foreign one's, alone and in a batch."""
    limit = LOGIT_LIMITS[card.precision]
    alone, together = run_wrapped(payload, known.frames)
    if not logit_error(alone, together, alone) <= limit:
        raise GateError(
            "the model's output for a frame depends on the others in the batch. Export it in "
            "evaluation mode"
            + (f", or, as it takes batches of {known.source.batch} only, with a dynamic batch axis")
            * bool(known.source.batch)
        )
    compared = foreign_scores.as_answered(together, known.values, scores)
    off = logit_error(known.values, compared, known.values)
    if not off <= limit:
        raise GateError(
            f"the wrapped model's output differs from the original's by {off:.1e}; at most "
            f"{limit:.0e} is allowed. {_advice(known.source)}"
        )
    return together


def _check_varied(values: Logits, *, shared: bool = False) -> None:
    """Refuse a model with the same output for all frames: no comparison would mean anything.

    Args:
        values: (n, classes).
        shared: whether what all classes have in common changes nothing, as before a softmax.
    """
    own = values - values.mean(1, keepdims=True) if shared else values
    if float(np.ptp(own, axis=0).max()) <= _ROUNDING * float(np.abs(values).max()):
        raise GateError(
            f"the model returns the same output for all {len(values)} frames it was tried on: its "
            "weights are constant or missing, or --mean and --std are not its own. Check them"
        )


def _advice(source: ForeignInput) -> str:
    if source.batch:
        return f"It takes batches of {source.batch} only: export it with a dynamic batch axis"
    return "Export it again with standard ONNX operators, opset 17 or later"


def _colours(
    source: ForeignInput,
    mean: tuple[float, float, float] | None,
    std: tuple[float, float, float] | None,
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    if source.raw:
        if any(
            given and not np.allclose(given, own)
            for given, own in zip((mean, std), _STRAIGHT, strict=True)
        ):
            raise UserError(
                "the model takes pixel values 0..255 as integers and normalises them itself; leave "
                "out --mean and --std"
            )
        return _STRAIGHT
    for option, values in (("--mean", mean), ("--std", std)):
        if values is None:
            raise UserError(
                f"{option} is missing; expected three numbers, of red, green and blue in 0..1, "
                f"such as {option} 0.5,0.5,0.5"
            )
    assert mean is not None
    assert std is not None
    check_normalisation(mean, std, "--mean", "--std")
    return mean, std


def _copy(model: Any) -> Any:
    copied = type(model)()
    copied.CopyFrom(model)
    return copied
