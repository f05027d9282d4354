"""The output: one row per image, in the order of the input."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecat.workflows.batch.tasks import Item, Rows
from edgecat_runtime.system.atomic import atomic_path

_ROW_GROUP = 16_384  # rows, at least, except in the last one
METADATA = b"edgecat"


def schema(facts: Mapping[str, Any]) -> Any:
    """The columns; the facts about the model and the batches go into the file's metadata.

    source: the image's name. label: the most probable class, or `unsure`. confidence: of the
    label, 0..1; 0 if unsure. logits: one per class. energy: see `Prediction`. error: why an image
    has no prediction; null if it has one, and only then are the four before it not null.
    """
    import pyarrow as pa

    columns = {
        "source": pa.string(),
        "label": pa.string(),
        "confidence": pa.float64(),
        "logits": pa.list_(pa.float32()),
        "energy": pa.float64(),
        "error": pa.string(),
    }
    described = json.dumps(dict(facts), sort_keys=True).encode()
    return pa.schema(list(columns.items()), metadata={METADATA: described})


def part_bytes(items: Sequence[Item], rows: Rows, columns: Any) -> bytes:
    """A part as a Parquet file."""
    import pyarrow as pa
    from pyarrow import parquet

    logits = [
        row if error is None else None for row, error in zip(rows.logits, rows.errors, strict=True)
    ]
    sources = [item.source for item in items]
    values = (sources, rows.labels, rows.confidences, logits, rows.energies, rows.errors)
    arrays = [pa.array(each, f.type) for each, f in zip(values, columns, strict=True)]
    written = io.BytesIO()
    parquet.write_table(pa.Table.from_arrays(arrays, schema=columns), written)
    return written.getvalue()


def rows_in(path: Path) -> int:
    """Number of rows of a Parquet file; -1 if it is damaged or missing."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return int(parquet.read_metadata(path).num_rows)
    except (OSError, pa.ArrowInvalid):
        return -1


@dataclass(frozen=True)
class Counts:
    """The rows of an output, counted.

    Attributes:
        labels: number of rows per label.
        failed: number of rows with an error.
        error: the first of these errors; empty if there is none.
    """

    labels: Counter[str]
    failed: int
    error: str


def merge(parts: Iterable[Path], output: Path, columns: Any) -> Counts:
    """Write one file of all parts, atomically, and count its rows.

    Raises:
        UserError: the file cannot be written.
    """
    import pyarrow as pa
    from pyarrow import parquet

    labels: Counter[str] = Counter()
    errors: list[str] = []
    with (
        atomic_path(output) as temporary,
        temporary.open("wb") as file,
        parquet.ParquetWriter(file, columns) as writer,
    ):
        waiting: list[Any] = []
        for path in parts:
            waiting.append(parquet.ParquetFile(path).read())
            labels.update(waiting[-1]["label"].drop_null().to_pylist())
            errors += waiting[-1]["error"].drop_null().to_pylist()
            if sum(map(len, waiting)) >= _ROW_GROUP:
                writer.write_table(pa.concat_tables(waiting).combine_chunks())
                waiting = []
        if waiting:
            writer.write_table(pa.concat_tables(waiting).combine_chunks())
    return Counts(labels, len(errors), next(iter(errors), ""))
