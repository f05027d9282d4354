"""VGG: very deep convolutional networks for large-scale image recognition.

Source: Simonyan and Zisserman, 2014, https://arxiv.org/abs/1409.1556, table 1. Parameter names
and shapes are torchvision's (`features.N`, `classifier.N`), so that official weights load.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

from torch import Tensor, nn

from edgecat.models.parts import (
    AdaptiveAveragePool,
    GlobalAveragePool,
    Layers,
    activation,
    initialise,
    split_head,
)
from edgecat_runtime.card import ModelCard

# Widths of the 3x3 convolutions, "M" for a 2x2 max pool: configurations A, B, D and E.
VGG11: Layers = (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M")
VGG13: Layers = (64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M")
VGG16: Layers = (
    *(64, 64, "M"),
    *(128, 128, "M"),
    *(256, 256, 256, "M"),
    *(512, 512, 512, "M"),
    *(512, 512, 512, "M"),
)  # fmt: skip
VGG19: Layers = (
    *(64, 64, "M"),
    *(128, 128, "M"),
    *(256, 256, 256, 256, "M"),
    *(512, 512, 512, 512, "M"),
    *(512, 512, 512, 512, "M"),
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
        active: the activation, by its name in `edgecat.models.parts.ACTIVATIONS`.

    Raises:
        ValueError: an unknown head or activation, dense widths with `gap`, or an input too small
            for the pools.
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
        active: str = "relu",
    ) -> None:
        """Build the network with freshly drawn weights (`initialise`)."""
        super().__init__()
        convolutions, dense = split_head(layers)
        pools = convolutions.count("M")
        rows, columns = height >> pools, width >> pools
        if head not in ("dense", "gap") or (head == "gap" and dense) or not rows or not columns:
            raise ValueError(f"no VGG with head {head!r}, {dense=}, input {height}x{width}")
        self.features = _features(convolutions, batch_norm=batch_norm, active=active)
        channels = [int(w) for w in convolutions if w != "M"][-1]
        self.avgpool: nn.Module
        if head == "gap":
            self.avgpool = GlobalAveragePool()
            self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels, classes))
        else:
            self.avgpool = AdaptiveAveragePool(rows, columns, POOLED)
            widths = [channels * POOLED * POOLED, *dense, classes]
            self.classifier = _classifier(widths, dropout, active)
        self.apply(partial(initialise, active=active))

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


def from_card(card: ModelCard) -> VGG:
    """Build the VGG that a card describes; raises as `VGG`."""
    return VGG(
        card.layers,
        card.classes,
        height=card.height,
        width=card.width,
        head=card.head,
        batch_norm=card.batch_norm,
        dropout=card.dropout,
        active=card.activation,
    )


def _features(layers: Layers, *, batch_norm: bool, active: str) -> nn.Sequential:
    modules: list[nn.Module] = []
    channels = 3
    for width in layers:
        if isinstance(width, str):
            modules.append(nn.MaxPool2d(2, 2))
            continue
        modules.append(nn.Conv2d(channels, width, 3, padding=1))
        modules += [nn.BatchNorm2d(width)] if batch_norm else []
        modules.append(activation(active))
        channels = width
    return nn.Sequential(*modules)


def _classifier(widths: Sequence[int], dropout: float, active: str) -> nn.Sequential:
    modules: list[nn.Module] = []
    for inputs, outputs in pairwise(widths[:-1]):
        modules += [nn.Linear(inputs, outputs), activation(active), nn.Dropout(dropout)]
    return nn.Sequential(*modules, nn.Linear(widths[-2], widths[-1]))
