"""How wide the int8 weights of an ONNX file are, read without the onnx package.

Source: onnx.proto3.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from edgecat_runtime.model.protobuf import fields

# Fields of `ModelProto`, `GraphProto` and `TensorProto`, and a data type.
_GRAPH = 7
_INITIALIZER = 5
_DATA_TYPE, _RAW_DATA = 2, 9
_INT8 = 3


def widest_int8_weight(path: Path) -> int:
    """The largest magnitude among an ONNX file's int8 constants; 0 if there are none.

    An unreadable file also gives 0: opening it reports the error.
    """
    widest = 0
    try:
        with path.open("rb") as file:
            for number, _, body, end in fields(file):
                if number == _GRAPH:
                    for part, _, start, stop in fields(file, body, end):
                        if part == _INITIALIZER:
                            widest = max(widest, _widest(file, start, stop))
    except (OSError, ValueError):
        pass
    return widest


def _widest(file: BinaryIO, start: int, end: int) -> int:
    """The largest magnitude in a `TensorProto`; 0 unless it has int8 `raw_data`."""
    found = {number: (body, stop) for number, _, body, stop in fields(file, start, end)}
    if _RAW_DATA not in found or _DATA_TYPE not in found:
        return 0
    file.seek(found[_DATA_TYPE][0])
    if file.read(1)[0] != _INT8:
        return 0
    body, stop = found[_RAW_DATA]
    file.seek(body)
    values = np.frombuffer(file.read(stop - body), np.int8)
    return int(np.abs(values.astype(np.int16)).max(initial=0))
