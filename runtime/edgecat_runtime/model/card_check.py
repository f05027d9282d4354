"""A model card's fields, checked once when it is read or sealed: types, ranges, sizes.

Cards come from outside, and whoever can change one can also compute its digest again.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from edgecat_runtime.errors import GateError, UserError
from edgecat_runtime.model.class_names import check_labels
from edgecat_runtime.system.counting import number_of

GOLDEN_FRAMES = 4
GOLDEN_CLASSES = 16
PREPROCESS_BYTES = 8 * 8 * 3
MOST_PIXELS = 1 << 21
"""Maximum input area, enough for 1920 x 1080; bounds the cost of drawing the golden frames."""

_MOST_SIDE = 8192
_DEEPEST = 4
_LONGEST = 4000
_FLOAT32 = 3.4028234663852886e38
_HASH = re.compile(r"[0-9a-f]{64}")


class CardError(UserError):
    """A card is missing, has a newer schema, or does not match its model.

    Example:
        >>> read_card("notes.txt")  # doctest: +SKIP
        Traceback (most recent call last):
        CardError: notes.txt is not a model; expected a .onnx, .safetensors, .trt or .rtx file
    """


class CardMissing(CardError):
    """A file has no card: something other than edgecat wrote it.

    Example:
        >>> try:  # doctest: +SKIP
        ...     card = read_card("resnet.onnx")
        ... except CardMissing:
        ...     edgecat.export("resnet.onnx", foreign=edgecat.ForeignModel(labels, mean, std))
    """


class CardDamaged(GateError):
    """A card, or the file that contains it, was modified after it was written.

    Example:
        >>> read_card("edited.onnx")  # doctest: +SKIP
        Traceback (most recent call last):
        CardDamaged: edited.onnx was modified after it was written: its hash does not match.
    """


def check_depth(value: Any, depth: int = _DEEPEST) -> None:
    """Raise CardError if lists and objects are nested deeper than a card's."""
    if isinstance(value, dict | list):
        if not depth:
            raise CardError("the model card is nested too deeply. Export the model again")
        for item in value.values() if isinstance(value, dict) else value:
            check_depth(item, depth - 1)


def check_fields(values: Mapping[str, Any]) -> None:
    """Check a card's fields; those that are absent have defaults.

    Args:
        values: parsed JSON, or a card's fields, by name.

    Raises:
        CardError: one sentence about the first field that is wrong.
    """
    for name, (fits, expected) in _FIELDS.items():
        if name in values and not fits(values[name]):
            raise CardError(
                f"the model card's {name} is {_shown(values[name])}; expected {expected}. "
                "Export the model again"
            )
    try:
        check_labels(values["labels"], "the model card", reserved=False)
    except UserError as error:
        raise CardError(str(error)) from error
    height, width = values["height"], values["width"]
    if height * width > MOST_PIXELS:
        raise CardError(
            f"the model card's input is {height}x{width}; expected at most {MOST_PIXELS} pixels. "
            "Export the model for a smaller input"
        )
    _check_golden(values.get("golden", ()), len(values["labels"]))


def _check_golden(golden: Any, classes: int) -> None:
    if golden and len(golden) != GOLDEN_FRAMES:
        raise CardError(
            f"the model card has golden logits of {number_of(len(golden), 'frame')}; expected "
            f"{GOLDEN_FRAMES}. Export the model again"
        )
    for row in golden:
        if len(row) != min(classes, GOLDEN_CLASSES):
            raise CardError(
                f"the model card has {number_of(classes, 'label')}; its golden logits cover "
                f"{number_of(len(row), 'class', 'classes')}. Export it again"
            )


def _number(value: Any, least: float = -_FLOAT32, most: float = _FLOAT32) -> bool:
    """Whether it is a finite number in a range; True and False are not numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return least <= value <= most and math.isfinite(value)


def _whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _text(value: Any, longest: int = _LONGEST) -> bool:
    return isinstance(value, str) and len(value) <= longest and (not value or value.isprintable())


def _three(least: float, most: float) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, list | tuple)
        and len(value) == 3
        and all(_number(item, least, most) for item in value)
    )


def _layers(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) <= 1000
        and all(_whole(item, 1, 1 << 20) or (_text(item, 16) and item) for item in value)
    )


def _golden(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(row, list | tuple) and all(map(_number, row)) for row in value
    )


def _sample(value: Any) -> bool:
    """Whether it is the base64 of the preprocessed sample; an empty one fails the self-test."""
    if not isinstance(value, str):
        return False
    try:
        return not value or len(base64.b64decode(value, validate=True)) == PREPROCESS_BYTES
    except (binascii.Error, ValueError):
        return False


def _tools(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and len(value) <= 64
        and all(_text(key, 100) and _text(item, 200) for key, item in value.items())
    )


def _hash(value: Any) -> bool:
    return isinstance(value, str) and (not value or _HASH.fullmatch(value) is not None)


def _one_of(*allowed: str) -> tuple[Callable[[Any], bool], str]:
    return lambda value: isinstance(value, str) and value in allowed, f"one of {', '.join(allowed)}"


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:56]} ..."


_SIDE = (lambda value: _whole(value, 1, _MOST_SIDE), f"whole pixels, 1 to {_MOST_SIDE}")
_PRINTABLE = (_text, "printable text")
_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "schema": (lambda value: _whole(value, 1, 1 << 31), "a whole number from 1"),
    "architecture": (lambda value: _text(value) and value != "", "printable text"),
    "labels": (lambda value: isinstance(value, list | tuple), "a list of class names"),
    "height": _SIDE,
    "width": _SIDE,
    "layers": (_layers, "widths, and M for a max pool"),
    "head": _PRINTABLE,
    "batch_norm": (lambda value: isinstance(value, bool), "true or false"),
    "dropout": (lambda value: _number(value, 0, 1), "a number in 0..1"),
    "activation": _PRINTABLE,
    "fit": _one_of("crop", "letterbox", "stretch"),
    "mean": (_three(-1e6, 1e6), "three finite numbers"),
    "std": (_three(1e-6, 1e6), "three finite numbers above 0"),
    "temperature": (lambda value: _number(value, 1e-6, 1e6), "a finite number above 0"),
    "scores": _one_of("softmax", "sigmoid"),
    "energy_limit": (lambda value: value is None or _number(value), "null or a finite number"),
    "precision": _one_of("fp32", "fp16", "int8"),
    "golden": (_golden, "rows of finite numbers"),
    "preprocess_golden": (_sample, f"the base64 of {PREPROCESS_BYTES} bytes"),
    "accuracy": (lambda value: value is None or _number(value, 0, 1), "null or a number in 0..1"),
    "accuracy_n": (lambda value: _whole(value, 0, 1 << 53), "a whole number from 0"),
    "checkpoint_sha256": (_hash, "a SHA-256, or nothing"),
    "tools": (_tools, "names and versions as text"),
    "payload_bytes": (lambda value: _whole(value, 0, 1 << 53), "a whole number from 0"),
    "payload_sha256": (_hash, "a SHA-256, or nothing"),
}
