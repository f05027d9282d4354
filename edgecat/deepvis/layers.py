"""The layers of a network in execution order, with their shapes and exact receptive fields.

The network is run once on torch's `meta` device, without memory or arithmetic. Hooks on its modules
name the layers; below them every operation propagates the receptive fields of its outputs.
Source of the arithmetic: Araujo et al., 2019, https://distill.pub/2019/computing-receptive-fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode

from edgecat.models.googlenet import Inception
from edgecat.models.inception import Mixed
from edgecat.models.parts import AdaptiveAveragePool, GlobalAveragePool

ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.GELU)
_KINDS: tuple[tuple[str, tuple[type[nn.Module], ...]], ...] = (
    ("convolution", (nn.Conv2d,)),
    ("norm", (nn.BatchNorm2d,)),
    ("activation", ACTIVATIONS),
    ("pool", (nn.MaxPool2d, nn.AvgPool2d, GlobalAveragePool, AdaptiveAveragePool)),
    ("block", (Inception, Mixed)),
    ("dense", (nn.Linear,)),
)


@dataclass(frozen=True)
class Axis:
    """Receptive fields along one axis: unit i sees `size` pixels from `start + i * step`.

    Outside the frame a field covers padding.
    """

    start: int
    size: int
    step: int

    def window(self, kernel: int, stride: int, padding: int, dilation: int) -> Axis:
        """Return the field of a layer that applies windows to this one."""
        return Axis(
            self.start - padding * self.step,
            self.size + (kernel - 1) * dilation * self.step,
            self.step * stride,
        )

    def span(self, place: int, side: int) -> tuple[int, int]:
        """Return the pixel range, end exclusive, that a unit sees within the frame."""
        first = self.start + place * self.step
        inside = min(max(first, 0), side - 1)
        return inside, max(min(first + self.size, side), inside + 1)


@dataclass(frozen=True)
class Field:
    """The receptive fields of a layer's units, along the rows and the columns of a frame."""

    rows: Axis
    columns: Axis

    def box(self, place: tuple[int, int], height: int, width: int) -> tuple[int, int, int, int]:
        """Return top, left, bottom, right (exclusive) of a unit's receptive field.

        Args:
            place: row and column in the layer's map.
            height: of the frame; the box is clipped to it.
            width: likewise.
        """
        top, bottom = self.rows.span(place[0], height)
        left, right = self.columns.span(place[1], width)
        return top, left, bottom, right


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        name: module name; further calls of the same module get the suffix `:2`, `:3`.
        kind: `convolution`, `norm`, `activation`, `pool`, `block`, `dense`, or `logits` (the last
            layer).
        shape: (channels, rows, columns) of its maps, or (units,).
        field: the receptive fields of its units.
        active: the name of the directly following layer with the same units, normalised and
            activated; its own name if there is none.
        alias: its name in papers and lectures, such as `conv3_1`; empty if it has none.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    field: Field
    active: str
    alias: str = ""

    @property
    def units(self) -> int:
        """Number of units or channels."""
        return self.shape[0]

    @property
    def spatial(self) -> bool:
        """Whether its units are maps rather than scalars."""
        return len(self.shape) == 3

    def __str__(self) -> str:
        name = f"{self.alias}, {self.name}" if self.alias else self.name
        return f"{name} ({self.kind}, {' x '.join(map(str, self.shape))})"

    @property
    def short(self) -> str:
        """Its shortest name: the alias, or else the module's."""
        return self.alias or self.name


def find_layers(model: nn.Module, height: int, width: int) -> tuple[Layer, ...]:
    """List the layers of a network in execution order.

    Args:
        model: maps normalised RGB to logits; in evaluation mode, without in-place activations.
        height: of its input in pixels.
        width: likewise.
    """
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    meta = {name: tensor.to("meta") for name, tensor in tensors.items()}
    frame = torch.empty(1, 3, height, width, device="meta")
    seen: list[tuple[str, nn.Module, Tensor, Tensor]] = []

    def note(name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if output is not inputs[0]:
            seen.append((name, module, inputs[0], output))

    with torch.no_grad(), _Fields(frame) as fields, calls(model, note):
        functional_call(model, meta, (frame,))
    found = [
        Layer(name, _kind(module), tuple(output.shape[1:]), fields.of(output), name)
        for name, module, _, output in seen
    ]
    found[-1] = replace(found[-1], kind="logits")
    return tuple(_followed(found, seen))


@contextmanager
def calls(
    model: nn.Module,
    note: Callable[[str, nn.Module, tuple[Tensor, ...], Tensor], Tensor | None],
    only: type[nn.Module] | tuple[type[nn.Module], ...] = nn.Module,
) -> Iterator[None]:
    """Call `note(name, module, inputs, output)` after each layer has run.

    If `note` returns a value, it replaces the output.

    Args:
        model: the network.
        note: the callback.
        only: the module types to report.
    """
    times: dict[str, int] = {}

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor | None]:
        def ran(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
            times[name] = times.get(name, 0) + 1
            again = f":{times[name]}" if times[name] > 1 else ""
            return note(name + again, module, inputs, output)

        return ran

    handles = [
        module.register_forward_hook(hook(name))
        for name, module in model.named_modules()
        if _kind(module) and isinstance(module, only)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _kind(module: nn.Module) -> str:
    return next((kind for kind, types in _KINDS if isinstance(module, types)), "")


def _followed(
    found: Sequence[Layer], seen: Sequence[tuple[str, nn.Module, Tensor, Tensor]]
) -> Iterator[Layer]:
    """Map each layer to the one that only normalises and activates its units."""
    for layer, (*_, output) in zip(found, seen, strict=True):
        active, last = layer.name, output
        for later, (_, _, source, result) in zip(found, seen, strict=True):
            if source is last and later.kind in ("norm", "activation"):
                active, last = later.name, result
        yield replace(layer, active=active)


class _Fields(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Track receptive fields through every operation that runs under this mode."""

    def __init__(self, frame: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        height, width = frame.shape[2:]
        self._whole = Field(Axis(0, height, 0), Axis(0, width, 0))
        # The tensors are kept alive, so that their `id` is not reused.
        self._known = {id(frame): (frame, Field(Axis(0, 1, 1), Axis(0, 1, 1)))}

    def of(self, tensor: Tensor) -> Field:
        """Return the field of a tensor's units; the whole frame if it is unknown."""
        return self._known.get(id(tensor), (tensor, self._whole))[1]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        output = result[0] if isinstance(result, (tuple, list)) else result
        if isinstance(output, Tensor) and output.ndim == 4:
            field = self._through(func._schema.name, args, output)
            if field is not None:
                self._known[id(output)] = (output, field)
        return result

    def _through(self, name: str, args: tuple[Any, ...], output: Tensor) -> Field | None:
        if name == "aten::convolution":
            stride, padding, dilation = args[3:6]
            return self._window(args[0], args[1].shape[2:], stride, padding, dilation)
        if name in ("aten::max_pool2d_with_indices", "aten::avg_pool2d"):
            kernel = _pair(args[1])
            stride = _pair(args[2]) if len(args) > 2 and args[2] else kernel
            padding = _pair(args[3]) if len(args) > 3 else (0, 0)
            pools = name.startswith("aten::max") and len(args) > 4
            return self._window(args[0], kernel, stride, padding, _pair(args[4] if pools else 1))
        flat = [x for arg in args for x in (arg if isinstance(arg, (list, tuple)) else (arg,))]
        maps = [x for x in flat if isinstance(x, Tensor) and id(x) in self._known]
        if not maps or any(one.shape[2:] != output.shape[2:] for one in maps):
            return None
        return _union([self.of(one) for one in maps])

    def _window(self, maps: Tensor, *shape: Sequence[int]) -> Field:
        field = self.of(maps)
        shapes = [_pair(value) for value in shape]
        rows, columns = (tuple(value[axis] for value in shapes) for axis in (0, 1))
        return Field(field.rows.window(*rows), field.columns.window(*columns))


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    return value[0], value[-1]


def _union(fields: Sequence[Field]) -> Field:
    return Field(_hull([f.rows for f in fields]), _hull([f.columns for f in fields]))


def _hull(axes: Sequence[Axis]) -> Axis:
    """Merge the fields of several branches; strides agree, since their maps have one size."""
    start = min(axis.start for axis in axes)
    end = max(axis.start + axis.size for axis in axes)
    return Axis(start, end - start, max(axis.step for axis in axes))
