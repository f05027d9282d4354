"""Receptive fields of the layers of a network, computed from its graph.

Source: Araujo, Norris and Sim, 2019, https://doi.org/10.23915/distill.00021, equations 1 to 3.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import fx, nn
from torch.nn.functional import avg_pool2d, max_pool2d

_WINDOWS = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
_SETTINGS = ("kernel_size", "stride", "padding", "dilation")
_POOLS = (max_pool2d, avg_pool2d)
_JOINS = (torch.cat, torch.add, operator.add, operator.iadd)
_WHOLE = (nn.Flatten, nn.Linear, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)


@dataclass(frozen=True)
class Axis:
    """The receptive fields of a map along rows or columns, in pixels.

    Attributes:
        size: extent of the receptive field.
        stride: distance between the fields of neighbouring positions.
        start: first pixel of the field of position 0; below 0 is padding.
    """

    size: int = 1
    stride: int = 1
    start: int = 0

    def through(self, kernel: int, stride: int, padding: int = 0, dilation: int = 1) -> Axis:
        """Return the field after a convolution or pool."""
        reach = dilation * (kernel - 1)
        return Axis(
            size=self.size + reach * self.stride,
            stride=self.stride * stride,
            start=self.start - padding * self.stride,
        )

    def joined(self, other: Axis) -> Axis:
        """Return the field where two branches with equal strides meet."""
        start = min(self.start, other.start)
        end = max(self.start + self.size, other.start + other.size)
        return Axis(end - start, self.stride, start)

    def span(self, place: int) -> tuple[int, int]:
        """Return the pixel range, end exclusive, that a position sees, padding included."""
        first = self.start + place * self.stride
        return first, first + self.size


@dataclass(frozen=True)
class Field:
    """The receptive field of a layer, along rows and columns."""

    rows: Axis = Axis()
    columns: Axis = Axis()


def receptive_fields(model: nn.Module) -> dict[str, Field]:
    """Compute the receptive field of every layer.

    Args:
        model: from `build_model`; it is traced in evaluation mode and not changed.

    Returns:
        By submodule name, in execution order: convolutions, pools, norms and
        activations; layers from which every position sees the whole image are left out.
    """
    training = model.training
    try:
        traced = fx.symbolic_trace(model.eval())
    finally:
        model.train(training)
    modules = dict(traced.named_modules())
    fields: dict[fx.Node, Field] = {}
    for node in traced.graph.nodes:
        inputs = [fields[before] for before in node.all_input_nodes if before in fields]
        if len(inputs) == len(node.all_input_nodes) and (field := _field(node, inputs, modules)):
            fields[node] = field
    return {str(node.target): f for node, f in fields.items() if node.op == "call_module"}


def _field(node: fx.Node, inputs: list[Field], modules: dict[str, nn.Module]) -> Field | None:
    """Return the field after one step; None if a position sees the whole image, or has no field."""
    if node.op == "placeholder":
        return Field()
    if node.op == "call_function" and node.target in _JOINS:
        return reduce(_joined, inputs)
    if node.op == "call_function" and node.target in _POOLS:
        given = dict(zip(_SETTINGS[:3], node.args[1:], strict=False)) | node.kwargs
        return _through(inputs[0], *(_pair(given.get(name, 0)) for name in _SETTINGS[:3]))
    if node.op != "call_module":
        return None
    module = modules[str(node.target)]
    if isinstance(module, _WINDOWS):
        return _through(inputs[0], *(_pair(getattr(module, name, 1)) for name in _SETTINGS))
    return None if isinstance(module, _WHOLE) else inputs[0]


def _through(field: Field, *settings: tuple[int, int]) -> Field:
    """Return the field after a window: kernel, stride, padding, dilation, for rows and columns."""
    rows, columns = zip(*settings, strict=True)
    return Field(field.rows.through(*rows), field.columns.through(*columns))


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def _joined(one: Field, other: Field) -> Field:
    return Field(one.rows.joined(other.rows), one.columns.joined(other.columns))
