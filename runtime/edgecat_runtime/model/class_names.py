"""Class names from outside: folders, labels files, model cards, metadata of foreign models.

A class name reaches terminals, file names, JSON, MQTT topics and web pages, so it is checked once,
here, wherever it comes from.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence

from edgecat_runtime.errors import UserError
from edgecat_runtime.model.status import SHOWN_FOR_LABELS

MOST_CLASSES = 1 << 16
MOST_BYTES = 255
"""Maximum length of a name in UTF-8, which file systems allow for a path component."""

SEPARATORS = ("/", "\\") if os.name == "nt" else ("/",)
"""What ends a path component here: elsewhere than on Windows a folder may be called `a\\b`."""

RESERVED = frozenset(status.value for status in SHOWN_FOR_LABELS)
"""What a camera or an event shows in place of a class."""

# Unicode categories: control, format, surrogate, line separator, paragraph separator. Two format
# characters join letters in Persian, Indic scripts and emoji; they stay allowed.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"


def check_class_name(name: object, where: str, *, reserved: bool = True) -> str:
    """Check one class name.

    Args:
        name: anything.
        where: what it comes from, as the beginning of a message: `the model card`.
        reserved: also refuse the words for a status; a card that has one can still be inspected.

    Returns:
        The name.

    Raises:
        UserError: it is not a string, empty, longer than 255 bytes, not a single path component,
            has a control character or line break, or is a reserved word.
    """
    if not isinstance(name, str):
        raise UserError(f"{where}: class name {_shown(name)} is not text; expected a string")
    fault = _fault(name) or (_clash(name) if reserved else "")
    if fault:
        raise UserError(
            f"{where}: class name {_shown(name)} {fault}. Rename the class, for "
            "a model with a labels file (--labels)"
        )
    return name


def check_labels(labels: Sequence[object], where: str, *, reserved: bool = True) -> tuple[str, ...]:
    """Check all class names of a model or a data set.

    Args:
        labels: anything in a sequence.
        where: as for `check_class_name`.
        reserved: likewise.

    Returns:
        The names.

    Raises:
        UserError: none, more than 65,536, a bad name, or two of the same name. Composed and
            decomposed letters (é) are the same.
    """
    if not labels:
        raise UserError(f"{where}: there are no class names; expected at least one")
    if len(labels) > MOST_CLASSES:
        raise UserError(f"{where}: {len(labels)} class names; expected at most {MOST_CLASSES}")
    names = tuple(check_class_name(name, where, reserved=reserved) for name in labels)
    first: dict[str, int] = {}
    for number, name in enumerate(names):
        before = first.setdefault(unicodedata.normalize("NFC", name), number)
        if before != number:
            raise UserError(
                f"{where}: classes {before} and {number} have the same name {_shown(name)}; each "
                "class needs its own. Rename one"
            )
    return names


def _fault(name: str) -> str:
    """What is wrong with a name; empty if nothing is."""
    if not name.strip():
        return "is empty"
    if any(unicodedata.category(c) in _UNPRINTABLE and c not in _JOINERS for c in name):
        return "contains a control character or a line break"
    if len(name.encode()) > MOST_BYTES:
        return f"takes {len(name.encode())} bytes; expected at most {MOST_BYTES}"
    if name in (".", "..") or any(mark in name for mark in SEPARATORS):
        return f"is not a single path component (no {' or '.join(SEPARATORS)}, not . or ..)"
    return ""


def _clash(name: str) -> str:
    if name.strip().casefold() in RESERVED:
        return f"is a reserved word ({', '.join(sorted(RESERVED))})"
    return ""


def _shown(value: object) -> str:
    """A value from outside for a message: one short line of ASCII-safe text."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= 60 else f"{text[:56]} ..."
