"""What a foreign graph takes, and frames as it takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.errors import UserError
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.types import Frames

Colour = Literal["rgb", "bgr", "grey"]

_FLOATS = {1: "float32", 10: "float16", 11: "float64"}
_RAW = {2: "uint8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64"}


@dataclass(frozen=True)
class ForeignInput:
    """The input of a foreign graph.

    Attributes:
        name: of its one input.
        kind: its `TensorProto.DataType`.
        batch: the fixed batch size, 0 where it is free.
        height: in pixels, 0 where it is free.
        width: in pixels, 0 where it is free.
        channels_last: whether it takes (n, h, w, channels) rather than (n, channels, h, w).
        channels: 3, or 1 for grey.
    """

    name: str
    kind: int
    batch: int
    height: int
    width: int
    channels_last: bool
    channels: int

    @property
    def raw(self) -> bool:
        """Whether it takes pixel values 0..255 as integers, with nothing to normalise."""
        return self.kind in _RAW

    def frames(self, frames: Frames, card: ModelCard, colour: Colour) -> NDArray[Any]:
        """Frames (n, h, w, 3) BGR as the graph takes them, by the card's mean and std."""
        values: NDArray[Any] = frames.astype(np.float32)
        if colour == "grey":
            values = values @ np.array([[0.114], [0.587], [0.299]], np.float32)
        elif colour == "rgb":
            values = values[..., ::-1]
        if self.raw:
            values = np.floor(values + 0.5)
        else:
            order = 1 if colour == "rgb" else -1
            mean = np.asarray(card.mean[::order][: self.channels], np.float32)
            std = np.asarray(card.std[::order][: self.channels], np.float32)
            values = (values / 255 - mean) / std
        if not self.channels_last:
            values = values.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(values.astype({**_FLOATS, **_RAW}[self.kind]))


def foreign_inputs(model: Any) -> list[ForeignInput]:
    """Determine the input of a foreign graph.

    Returns:
        One reading of its input; several, the likeliest first, where its shape leaves it open.

    Raises:
        UserError: it does not take one image.
    """
    graph = model.graph
    constants = {item.name for item in graph.initializer}
    inputs = [item for item in graph.input if item.name not in constants]
    shapes = {item.name: _shape(item) for item in inputs}
    if len(inputs) != 1 or len(shapes[inputs[0].name]) not in (0, 4):
        raise _not_an_image(shapes)
    kind = inputs[0].type.tensor_type.elem_type
    if kind not in _FLOATS and kind not in _RAW:
        raise UserError(
            f"the model's input {inputs[0].name!r} has the ONNX type {kind}; expected float32, "
            "float16, float64 or uint8. Export it in float32"
        )
    batch, *rest = shapes[inputs[0].name] or [0, 0, 0, 0]
    found = []
    for last, channels in ((False, 3), (True, 3), (False, 1), (True, 1)):
        height, width, own = rest if last else (rest[1], rest[2], rest[0])
        if own in (0, channels):
            found.append(ForeignInput(inputs[0].name, kind, batch, height, width, last, channels))
    sure = [f for f in found if rest[2 if f.channels_last else 0] == f.channels]
    if not found:
        raise _not_an_image(shapes)
    return sure[:1] or found


def _not_an_image(shapes: dict[str, list[int]]) -> UserError:
    listed = ", ".join(
        f"{name} ({', '.join(str(size or '?') for size in shape)})"
        for name, shape in shapes.items()
    )
    return UserError(
        f"the model takes {listed or 'nothing'}; expected one image input, (n, 3, h, w), (n, h, w, "
        "3), or with 1 channel for grey"
    )


def _shape(item: Any) -> list[int]:
    """Dimensions of an input, 0 for those that are free, also where they say 0 or -1."""
    return [max(int(dim.dim_value), 0) for dim in item.type.tensor_type.shape.dim]
