"""The model card: an artifact's metadata, stored inside the artifact.

A card is plain JSON of at most 4,000 UTF-8 bytes (a TensorRT engine's name holds 4,095), with a
digest over its own fields and, for the files that carry one, the length and SHA-256 of the payload.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from edgecat_runtime.model.card_check import GOLDEN_CLASSES as GOLDEN_CLASSES
from edgecat_runtime.model.card_check import CardDamaged as CardDamaged
from edgecat_runtime.model.card_check import CardError as CardError
from edgecat_runtime.model.card_check import CardMissing as CardMissing
from edgecat_runtime.model.card_check import check_depth, check_fields
from edgecat_runtime.model.class_names import MOST_CLASSES, check_labels
from edgecat_runtime.system.counting import number_of

SCHEMA = 1
MAX_BYTES = 4000

Fit = Literal["crop", "letterbox", "stretch"]
Precision = Literal["fp32", "fp16", "int8"]
_DAMAGED = "the model card is damaged: {}. Copy the file again or export it again"
_LABELS_BYTES = 8 << 20
_READ_BYTES = 4 * MAX_BYTES  # of a card with spaces and escapes that this module does not write


@dataclass(frozen=True)
class ModelCard:
    """Everything a device needs to serve a model and to verify that its output is correct.

    Attributes:
        architecture: registry name, for example `vgg16`.
        labels: class names in the order of the logits.
        height: input height in pixels.
        width: input width in pixels.
        layers: convolution widths, in the architecture's order; for VGG and AlexNet with "M" for a
            max pool.
        head: `dense` or `gap` (global average pooling).
        batch_norm: whether the PyTorch module has batch normalisation.
        dropout: dropout rate of the head during training.
        activation: of the hidden layers: `relu`, `leaky_relu`, `sigmoid`, `tanh` or `gelu`.
        fit: how a frame is fitted to the input size: `crop`, `letterbox` or `stretch`.
        mean: subtracted from RGB values in 0..1.
        std: divides RGB values in 0..1, after the mean.
        temperature: probabilities are computed from logits / temperature.
        scores: how: `softmax` over all classes, or `sigmoid`, each class by itself, as a foreign
            model may have been trained; these do not sum to 1.
        energy_limit: a frame with higher energy is labelled `unsure`; None: no limit.
        precision: `fp32`, `fp16` or `int8`.
        golden: reference logits, 4 golden frames by the first 16 classes.
        preprocess_golden: base64 of 8 x 8 pixels of the preprocessed golden scene.
        accuracy: measured accuracy in 0..1, if any.
        accuracy_n: number of images it was measured on.
        checkpoint_sha256: payload hash of the checkpoint it was exported from.
        tools: versions of the tools that created it.
        payload_bytes: length of the payload in bytes; 0 if the format does not need it.
        payload_sha256: SHA-256 of the payload.
        schema: version of this layout.

    Example:
        >>> card = ModelCard("vgg16", labels=("cat", "dog"), height=160, width=160)
        >>> card.classes, card.precision
        (2, 'fp32')
    """

    architecture: str
    labels: tuple[str, ...]
    height: int
    width: int
    layers: tuple[int | str, ...] = ()
    head: str = ""
    batch_norm: bool = False
    dropout: float = 0.0
    activation: str = "relu"
    fit: Fit = "crop"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    temperature: float = 1.0
    scores: Literal["softmax", "sigmoid"] = "softmax"
    energy_limit: float | None = None
    precision: Precision = "fp32"
    golden: tuple[tuple[float, ...], ...] = ()
    preprocess_golden: str = ""
    accuracy: float | None = None
    accuracy_n: int = 0
    checkpoint_sha256: str = ""
    tools: dict[str, str] = field(default_factory=dict)
    payload_bytes: int = 0
    payload_sha256: str = ""
    schema: int = SCHEMA

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.labels)

    def to_dict(self, *, labels: bool = True) -> dict[str, Any]:
        """The fields and their `digest`, ready for JSON; `labels` as in `to_json`."""
        plain = json.loads(json.dumps(asdict(self)))
        if self.scores == "softmax":  # cards from before the field stay as they are
            del plain["scores"]
        if not labels:
            plain["labels"] = _summary(self.labels)
        return {**plain, "digest": _digest(plain)}

    def to_json(self, *, labels: bool = True) -> str:
        """Return the card as compact JSON.

        Args:
            labels: False replaces the labels by their count and hash: they are then stored in a
                second key, because the card would be too large with them (see `fits`).

        Raises:
            CardError: the card is larger than 4,000 UTF-8 bytes.
        """
        text = _compact(self.to_dict(labels=labels))
        if len(text.encode()) > MAX_BYTES:
            raise CardError(
                f"the model card takes {len(text.encode())} bytes; expected at most {MAX_BYTES}. "
                "Shorten the labels or the architecture's name"
            )
        return text

    @property
    def fits(self) -> bool:
        """Whether the card fits in 4,000 bytes with its labels."""
        return len(_compact(self.to_dict()).encode()) <= MAX_BYTES

    @classmethod
    def from_json(cls, text: str, *, labels: tuple[str, ...] | None = None) -> ModelCard:
        """Read a card and check its digest.

        Args:
            text: the output of `to_json`.
            labels: the labels, if the card omits them; None: class numbers are used.

        Raises:
            CardDamaged: invalid JSON, a digest mismatch, or labels other than the original ones.
            CardError: a newer schema, or a field of the wrong type or out of range.
        """
        values = _parsed(text)
        if values.pop("digest", None) != _digest(values):
            raise CardDamaged(_DAMAGED.format("its digest does not match"))
        if not isinstance(values.get("labels"), list):
            values["labels"] = _restored(values.get("labels"), labels)
        return _checked(cls, values)

    def with_labels(self, labels: tuple[str, ...]) -> ModelCard:
        """Return the card with different class names.

        Raises:
            CardError: the number of labels is wrong.
            UserError: a name cannot be a class name, or occurs twice.
        """
        if len(labels) != self.classes:
            raise CardError(
                f"got {number_of(len(labels), 'label')}; the model has "
                f"{number_of(self.classes, 'class', 'classes')}. "
                "Give one label per line, in the order of the logits"
            )
        return replace(self, labels=check_labels(labels, "the labels"))

    def check(self) -> None:
        """Check every field, as `from_json` does.

        Raises:
            CardError: a field has the wrong type or is out of range.
        """
        check_fields({item.name: getattr(self, item.name) for item in fields(self)})


def _parsed(text: str) -> dict[str, Any]:
    if len(text) > _READ_BYTES:
        raise CardError(
            f"the model card takes {len(text)} characters; expected at most {_READ_BYTES}. Export "
            "the model again"
        )
    try:
        values = json.loads(text, parse_constant=_refused)
        text.encode()
        _compact({"": values}).encode()  # a lone surrogate may be escaped in the JSON
    except ValueError as error:
        raise CardDamaged(_DAMAGED.format("it is not valid JSON")) from error
    except RecursionError as error:
        raise CardError("the model card is nested too deeply. Export the model again") from error
    if not isinstance(values, dict):
        raise CardDamaged(_DAMAGED.format("it is not a JSON object"))
    check_depth(values)
    schema = values.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        raise CardError(
            f"the model card has schema {_short(schema)}; this edgecat reads up to {SCHEMA}. "
            "Upgrade edgecat-runtime"
        )
    return values


def with_payload_hash(text: str, sha256: str) -> str:
    """Return a card's JSON with another payload hash of the same length, and its own digest."""
    values = _parsed(text)
    values.pop("digest", None)
    values["payload_sha256"] = sha256
    return _compact({**values, "digest": _digest(values)})


def _refused(constant: str) -> None:
    """JSON has no NaN and no Infinity, but Python reads them."""
    raise ValueError(constant)


def _short(number: int) -> str:
    return str(number) if number < 1 << 31 else "above 2147483648"


def _summary(labels: tuple[str, ...]) -> dict[str, Any]:
    return {"count": len(labels), "sha256": _digest({"labels": labels})}


def _restored(summary: Any, labels: tuple[str, ...] | None) -> list[str]:
    count = summary.get("count") if isinstance(summary, dict) else None
    if not isinstance(count, int) or isinstance(count, bool) or not 0 < count <= MOST_CLASSES:
        raise CardError(
            f"the model card has no labels; expected names, or a count of 1 to {MOST_CLASSES}. "
            "Export the model again"
        )
    if labels is None:
        return [str(index) for index in range(count)]
    if summary != _summary(labels):
        raise CardDamaged(_DAMAGED.format("the labels stored with it do not match its hash"))
    return list(labels)


def labels_from_json(text: str) -> tuple[str, ...]:
    """Read labels that are stored beside a card.

    Raises:
        CardError: they are not a JSON list of strings.
    """
    labels: list[str] | None = None
    with suppress(ValueError, RecursionError):
        found = json.loads(text) if len(text) <= _LABELS_BYTES else None
        if isinstance(found, list) and all(isinstance(label, str) for label in found):
            "".join(found).encode()  # raises where a lone surrogate is escaped
            labels = found
    if labels is None:
        raise CardError(
            "the labels stored with the model card are not a JSON list of strings. Export the "
            "model again"
        )
    return tuple(labels)


def _checked(cls: type[ModelCard], values: Mapping[str, Any]) -> ModelCard:
    known = {f.name for f in fields(cls)}
    missing = sorted({"architecture", "labels", "height", "width"} - values.keys())
    unknown = [name[:40] for name in sorted(values.keys() - known)[:5]]
    if missing or unknown:
        raise CardError(
            f"the model card lacks {missing} and has unknown {unknown}. Export the model again"
        )
    check_fields(values)
    return cls(**{name: _frozen(value) for name, value in values.items()})


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _compact(values: Mapping[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def _digest(values: Mapping[str, Any]) -> str:
    canonical = json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
