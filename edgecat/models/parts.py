"""Building blocks of the architectures: activations, pooling, convolution with norm, weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

Layers = tuple[int | str, ...]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": partial(nn.ReLU, inplace=True),
    "leaky_relu": partial(nn.LeakyReLU, 0.01, inplace=True),
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
}


def activation(name: str) -> nn.Module:
    """Create an activation.

    Raises:
        ValueError: unknown activation.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"unknown activation {name!r}; expected one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]()


class ConvNorm(nn.Module):
    """A convolution without bias, batch norm and an activation (torchvision's `BasicConv2d`)."""

    def __init__(self, inputs: int, outputs: int, *, active: str = "relu", **shape: Any) -> None:
        """Map `inputs` channels to `outputs`; `shape` is `nn.Conv2d`'s kernel, stride, padding."""
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, bias=False, **shape)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)
        self.active = activation(active)

    def forward(self, maps: Tensor) -> Tensor:
        """Map float (n, inputs, h, w) to (n, outputs, h', w')."""
        result: Tensor = self.active(self.bn(self.conv(maps)))
        return result


class AdaptiveAveragePool(nn.Module):
    """`nn.AdaptiveAvgPool2d` for inputs of one known size, as two constant averaging matrices.

    Same values, but it exports as two matrix products rather than hundreds of gathers.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, height: int, width: int, pooled: int) -> None:
        """Pool maps of (height, width) to (pooled, pooled)."""
        super().__init__()
        self.identity = height == width == pooled
        self.register_buffer("rows", averaging_matrix(height, pooled), persistent=False)
        self.register_buffer("columns", averaging_matrix(width, pooled).T, persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Pool float (n, c, height, width) to (n, c, pooled, pooled)."""
        return maps if self.identity else self.rows @ maps @ self.columns


class GlobalAveragePool(nn.Module):
    """The mean of each channel: float (n, c, h, w) to (n, c)."""

    def forward(self, maps: Tensor) -> Tensor:
        """Average over height and width."""
        return maps.mean((2, 3))


def averaging_matrix(size: int, pooled: int) -> Tensor:
    """Return the (pooled, size) matrix whose product averages PyTorch's adaptive windows.

    Window i reaches from floor(i * size / pooled) to ceil((i + 1) * size / pooled), exclusive.
    """
    matrix = torch.zeros(pooled, size)
    for i in range(pooled):
        start, end = i * size // pooled, -(-(i + 1) * size // pooled)
        matrix[i, start:end] = 1 / (end - start)
    return matrix


def scaled(layers: Layers, factor: float) -> Layers:
    """Multiply every width by `factor`, to the nearest multiple of 8 and at least 8."""
    return tuple(w if isinstance(w, str) else max(8, round(w * factor / 8) * 8) for w in layers)


def split_head(layers: Layers) -> tuple[Layers, tuple[int, ...]]:
    """Split the widths at the last "M": convolutions and pools, and the dense layers after them.

    Raises:
        ValueError: there is no "M".
    """
    split = len(layers) - layers[::-1].index("M")
    return layers[:split], tuple(int(width) for width in layers[split:])


def initialise(module: nn.Module, active: str = "relu") -> None:
    """Initialise weights: Kaiming for convolutions before `active`, N(0, 0.01) for dense layers.

    As torchvision does for VGG. Source: He et al., 2015, https://arxiv.org/abs/1502.01852, eq. 14.
    """
    if isinstance(module, nn.Conv2d):
        gain: Any = "relu" if active == "gelu" else active
        nn.init.kaiming_normal_(module.weight, a=0.01, mode="fan_out", nonlinearity=gain)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, 0.01)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)
