"""Reads the encoded bytes of an item, wherever it is stored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecat.data.folder import LabelledImage
from edgecat.workflows.batch.tasks import Item, Task
from edgecat_runtime.errors import UserError
from edgecat_runtime.images import ImageError, check_size

if TYPE_CHECKING:
    import pyarrow as pa

_USUAL_NAMES = ("image", "images", "jpg", "jpeg", "png", "bytes", "image_bytes", "content")
_BYTES = "bytes"  # of the struct that Hugging Face's datasets write


class Reader:
    """Reads items; remembers the last row group of a Parquet file, since neighbours share it."""

    def __init__(self) -> None:
        self._key: tuple[str, int] | None = None
        self._column: Any = None

    def read(self, item: Item) -> bytes:
        """Return the encoded image.

        Raises:
            ImageError: it cannot be read.
        """
        if item.row_group >= 0:
            return self._row(item)
        return LabelledImage(item.source, 0, Path(item.path), item.offset, item.size, "").read()

    def contents(self, task: Task) -> tuple[bytes | str, ...]:
        """Return the bytes of each item of a task, or why it cannot be read."""

        def content(place: int, item: Item) -> bytes | str:
            if place in task.excluded:
                return b""
            try:
                return self.read(item)
            except ImageError as error:
                return str(error)

        return tuple(content(place, item) for place, item in enumerate(task.items))

    def _row(self, item: Item) -> bytes:
        key = (item.path, item.row_group)
        if key != self._key:
            self._column, self._key = _row_group(item), key
        value = self._column[item.offset].as_py()
        if value is None:
            raise ImageError(f"{item.source} is null; expected the bytes of an image")
        data = bytes(value)
        check_size(len(data), item.source)
        return data


def _row_group(item: Item) -> Any:
    """The image bytes of a row group, as an Arrow array of binary values."""
    import pyarrow as pa
    from pyarrow import compute, parquet

    try:
        with parquet.ParquetFile(item.path) as file:
            name = image_column(file.schema_arrow, item.path)
            column = file.read_row_group(item.row_group, columns=[name]).column(0)
    except (OSError, pa.ArrowInvalid, IndexError, UserError) as error:
        raise ImageError(
            f"{item.source} can no longer be read ({_line(error)}); expected row group "
            f"{item.row_group} of {item.path}"
        ) from error
    if pa.types.is_struct(column.type):
        column = compute.struct_field(column, _BYTES)
    return column


def image_column(schema: pa.Schema, path: str) -> str:
    """Return the name of the column with encoded images.

    It is the only column of bytes, or of structs with a field `bytes` as Hugging Face's datasets
    have it; of several, the one with a usual name, such as `image`.

    Raises:
        UserError: there is none, or several and none with a usual name.
    """
    import pyarrow as pa

    def holds_bytes(kind: pa.DataType) -> bool:
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    names = []
    for column in schema:
        kind = column.type
        if pa.types.is_struct(kind) and (place := kind.get_field_index(_BYTES)) >= 0:
            kind = kind.field(place).type
        if holds_bytes(kind):
            names.append(column.name)
    usual = [name for name in _USUAL_NAMES if name in names]
    if len(names) == 1 or usual:
        return (usual or names)[0]
    found = f"several columns of bytes ({', '.join(names)})" if names else "no column of bytes"
    raise UserError(
        f"{path} has {found}; expected encoded images in one column, or in one named "
        f"{_USUAL_NAMES[0]}. Its columns: {', '.join(schema.names)}"
    )


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
