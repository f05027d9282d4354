"""Reading a foreign ONNX file: everything that belongs to it becomes one model in memory."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from edgecat_runtime.errors import UserError
from edgecat_runtime.model.expansion import check_expansion
from edgecat_runtime.model.inflation import check_sizes
from edgecat_runtime.model.structure import check_structure

_MOST_BYTES = (1 << 31) - 1
_NAMES = ("names", "classes", "class_names", "labels", "id2label", "character")


def read_foreign(path: Path) -> bytes:
    """Read an ONNX model with its external data, from any working directory.

    Args:
        path: the `.onnx` file; external data has to lie in its folder or below.

    Returns:
        The serialised model, with all weights inside.

    Raises:
        UserError: it cannot be read, is not an ONNX model, its external data is missing, too short
            or elsewhere, or the whole is larger than 2 GB, which one ONNX file cannot hold.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist or is not a file. Check the path")
    try:
        model = parsed(path.read_bytes())
        total = model.ByteSize()
        for tensor in tensors_in(model):
            if tensor.data_location == tensor.EXTERNAL:
                total += _pull_in(tensor, path, _MOST_BYTES - total)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}. Check the path") from error
    data: bytes = model.SerializeToString()
    check_structure(data, str(path))
    check_sizes(data, str(path))
    check_expansion(data, str(path))
    return data


def parsed(payload: bytes) -> Any:
    """Parse a serialised model.

    Raises:
        UserError: it is not an ONNX model.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_from_string(payload)
    except DecodeError as error:
        raise UserError("this is not an ONNX model, or it is truncated. Copy it again") from error
    if not model.graph.node:
        raise UserError("this is not an ONNX model: it contains no graph. Export it again")
    return model


def tensors_in(message: Any) -> Iterator[Any]:
    """Every `TensorProto` anywhere in a model: initialisers, attributes, subgraphs, functions."""
    from google.protobuf.message import Message

    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for item in (value,) if isinstance(value, Message) else value:
            if item.DESCRIPTOR.name == "TensorProto":
                yield item
            else:
                yield from tensors_in(item)


def class_names(model: Any) -> tuple[str, ...] | None:
    """The class names in a model's own metadata, as Ultralytics, PaddleX and others store them.

    Returns:
        The names in order; None if there are none, or they cannot be read.
    """
    entries = {entry.key: entry.value for entry in model.metadata_props}
    for key in _NAMES:
        if key in entries and (names := names_in_text(entries[key])):
            return names
    return None


def names_in_text(text: str) -> tuple[str, ...] | None:
    """Read class names from a list or an object, as JSON or as Python writes it, or from lines.

    An object maps numbers to names (`{"0": "cat"}`) or names to numbers (`{"cat": 0}`).

    Returns:
        The names in order; None if the text is something else.
    """
    value: Any = None
    for read in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            value = read(text)
            break
    if isinstance(value, dict):
        value = _in_order(value)
    elif value is None and "\n" in text:
        value = [line.strip() for line in text.splitlines() if line.strip()]
    if isinstance(value, list | tuple) and value and all(isinstance(n, str) for n in value):
        return tuple(value)
    return None


def _in_order(names: dict[Any, Any]) -> list[Any] | None:
    """The names of an object by their numbers; None unless those are 0, 1, 2, ..."""
    if all(isinstance(value, int) for value in names.values()):  # {"cat": 0}
        names = {number: name for name, number in names.items()}
    numbered = {str(number): name for number, name in names.items()}
    if numbered.keys() != {str(number) for number in range(len(names))}:
        return None
    return [numbered[str(number)] for number in range(len(names))]


def _pull_in(tensor: Any, path: Path, room: int) -> int:
    """Put a tensor's external data into it; return how many bytes that took."""
    where = {entry.key: entry.value for entry in tensor.external_data}
    location = where.get("location", "")
    parts = PurePosixPath(location.replace("\\", "/"))
    file = path.parent / parts
    if not location or parts.is_absolute() or ":" in location or ".." in parts.parts:
        raise UserError(
            f"{path} keeps weights in {location!a}; expected a file in its own folder. "
            "Export it again with its weights inside or beside it"
        )
    if not file.is_file():
        raise UserError(
            f"{path} keeps its weights in {location}, which is not beside it. Copy that file there"
        )
    try:
        offset, length = int(where.get("offset", 0)), int(where.get("length", -1))
    except ValueError:
        offset = length = -1
    size = file.stat().st_size
    length = size - offset if length < 0 <= offset and "length" not in where else length
    if offset < 0 or length < 0 or offset + length > size:
        raise UserError(
            f"{file} has {size} bytes; {path.name} expects more. It is truncated or belongs to "
            "another model: copy both again"
        )
    if length > room:
        raise UserError(
            f"{path} and its weights take more than 2 GB, which one ONNX file cannot hold. Convert "
            "the model to float16 first, or use a smaller one"
        )
    with file.open("rb") as data:
        data.seek(offset)
        tensor.raw_data = data.read(length)
    tensor.ClearField("external_data")
    tensor.ClearField("data_location")
    return length
