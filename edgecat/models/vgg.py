"""VGG: very deep convolutional networks for large-scale image recognition.

Source: Simonyan and Zisserman, 2014, https://arxiv.org/abs/1409.1556, table 1. Parameter names
and shapes are torchvision's (`features.N`, `classifier.N`), so that official weights load.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

Layers = tuple[int | str, ...]

# Configuration D: widths of the 3x3 convolutions, "M" for a 2x2 max pool.
VGG16: Layers = (
    *(64, 64, "M"),
    *(128, 128, "M"),
    *(256, 256, 256, "M"),
    *(512, 512, 512, "M"),
    *(512, 512, 512, "M"),
)  # fmt: skip
DENSE: Layers = (4096, 4096)
POOLED = 7


class VGG(nn.Module):
    """A VGG built from one tuple of widths.

    Args:
        layers: widths of the convolutions with "M" for a max pool, up to the last "M"; what
            follows it are the widths of the dense layers.
        classes: number of logits.
        height: height of the input in pixels, at least 32 for VGG16.
        width: width of the input in pixels.
        head: `dense`, as published (the features are pooled to 7 x 7), or `gap`: global average
            pooling and one dense layer in place of 124 M parameters.
        batch_norm: normalise after each convolution (torchvision's `vgg16_bn`).
        dropout: rate in the head while training; 0.5 as published.

    Raises:
        ValueError: an unknown head, dense widths with `gap`, or an input too small for the pools.
    """

    def __init__(
        self,
        layers: Layers,
        classes: int,
        *,
        height: int = 224,
        width: int = 224,
        head: str = "dense",
        batch_norm: bool = False,
        dropout: float = 0.5,
    ) -> None:
        """Build the network with freshly drawn weights (`initialise`)."""
        super().__init__()
        split = len(layers) - layers[::-1].index("M")
        convolutions, dense = layers[:split], [int(w) for w in layers[split:]]
        pools = convolutions.count("M")
        rows, columns = height >> pools, width >> pools
        if head not in ("dense", "gap") or (head == "gap" and dense) or not rows or not columns:
            raise ValueError(f"no VGG with head {head!r}, {dense=}, input {height}x{width}")
        self.features = _features(convolutions, batch_norm=batch_norm)
        channels = [int(w) for w in convolutions if w != "M"][-1]
        self.avgpool: nn.Module
        if head == "gap":
            self.avgpool = GlobalAveragePool()
            self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels, classes))
        else:
            self.avgpool = AdaptiveAveragePool(rows, columns, POOLED)
            widths = [channels * POOLED * POOLED, *dense, classes]
            self.classifier = _classifier(widths, dropout)
        self.apply(initialise)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits.

        Args:
            images: float (n, 3, height, width), RGB, normalised by mean and std.

        Returns:
            float (n, classes).
        """
        features = self.avgpool(self.features(images))
        logits: Tensor = self.classifier(features.flatten(1))
        return logits


class AdaptiveAveragePool(nn.Module):
    """`nn.AdaptiveAvgPool2d` for inputs of one known size, as two constant averaging matrices.

    The same values, but it exports as two matrix products rather than as hundreds of gathers.
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


def initialise(module: nn.Module) -> None:
    """Draw weights as torchvision does: Kaiming for convolutions, N(0, 0.01) for dense layers."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, 0.01)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def _features(layers: Layers, *, batch_norm: bool) -> nn.Sequential:
    modules: list[nn.Module] = []
    channels = 3
    for width in layers:
        if isinstance(width, str):
            modules.append(nn.MaxPool2d(2, 2))
            continue
        modules.append(nn.Conv2d(channels, width, 3, padding=1))
        modules += [nn.BatchNorm2d(width)] if batch_norm else []
        modules.append(nn.ReLU(inplace=True))
        channels = width
    return nn.Sequential(*modules)


def _classifier(widths: Sequence[int], dropout: float) -> nn.Sequential:
    modules: list[nn.Module] = []
    for inputs, outputs in pairwise(widths[:-1]):
        modules += [nn.Linear(inputs, outputs), nn.ReLU(inplace=True), nn.Dropout(dropout)]
    return nn.Sequential(*modules, nn.Linear(widths[-2], widths[-1]))
