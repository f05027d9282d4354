"""Labels files: one class name per line, or the names as JSON."""

from __future__ import annotations

import codecs
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgecat_runtime.errors import UserError
from edgecat_runtime.model.class_names import check_class_name

_MOST_BYTES = 16 << 20
_LINES = re.compile(r"\r\n|\r|\n")


def read_labels(path: Path) -> tuple[str, ...]:
    """Read class names in the order of a model's output.

    Args:
        path: a text file with one name per line (empty lines do not count), a JSON list, or a JSON
            object from numbers to names or from names to numbers. A byte order mark is skipped.

    Raises:
        UserError: it cannot be read, is not text, or has a name that is no class name or occurs
            twice; the message says on which lines.
    """
    text = _text(path)
    named = _from_json(text)
    if named is None:
        lines = enumerate(_LINES.split(text), 1)
        named = [(f"line {number}", line.strip()) for number, line in lines if line.strip()]
        if len(named) == 1 and "," in named[0][1]:
            raise UserError(f"{path} has one line, with commas; expected one label per line")
    if not named:
        raise UserError(f"{path} is empty; expected one label per line")
    first: dict[str, str] = {}
    for place, name in named:
        check_class_name(name, f"{path}, {place}")
        if name in first:
            raise UserError(
                f"{path}: {name!r} is on {first[name]} and on {place}; each class needs its own "
                "name. Rename one, for example crane (bird)"
            )
        first[name] = place
    return tuple(first)


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            raise UserError(f"{path} does not exist or is not a file. Check the path")
        if path.stat().st_size > _MOST_BYTES:
            raise UserError(f"{path} is larger than 16 MB; expected one label per line")
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}. Check the path") from error
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text; expected one label per line") from error


def _from_json(text: str) -> list[tuple[str, Any]] | None:
    """The names of a JSON list or object with their places; None if the text is neither."""
    value: Any = None
    if text.lstrip()[:1] in ("[", "{"):
        with suppress(ValueError, RecursionError):
            value = json.loads(text)
    if isinstance(value, dict):
        if all(isinstance(number, int) for number in value.values()):
            value = {str(number): name for name, number in value.items()}
        numbers = [str(number) for number in range(len(value))]
        value = [value[number] for number in numbers] if value.keys() == {*numbers} else None
    if not isinstance(value, list):
        return None
    return [(f"entry {number}", name) for number, name in enumerate(value, 1)]
