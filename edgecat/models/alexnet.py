"""AlexNet, in the form that torchvision and its official weights have.

Source: Krizhevsky, Sutskever and Hinton, 2012, https://doi.org/10.1145/3065386; the widths, and no
local response normalisation, from Krizhevsky, 2014, https://arxiv.org/abs/1404.5997, footnote 1.
"""

from __future__ import annotations

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

ALEXNET: Layers = (64, "M", 192, "M", 384, 256, 256, "M")
DENSE: Layers = (4096, 4096)
POOLED = 6
# Kernel, stride and padding of the first two convolutions; the others are 3x3.
_SHAPES = ((11, 4, 2), (5, 1, 2))
_SHAPE = (3, 1, 1)


class AlexNet(nn.Module):
    """AlexNet built from one tuple of widths.

    Args:
        layers: widths of the convolutions with "M" for a 3x3 max pool of stride 2, up to the last
            "M"; what follows it are the widths of the dense layers.
        classes: number of logits.
        height: height of the input in pixels, at least 63.
        width: width of the input in pixels.
        head: `dense`, as published (the features are pooled to 6 x 6), or `gap`.
        batch_norm: normalise after each convolution; the published network does not.
        dropout: rate in the head while training; 0.5 as published.
        active: the activation, by its name in `edgecat.models.parts.ACTIVATIONS`.

    Raises:
        ValueError: an unknown head or activation, dense widths with `gap`, or an input too small.
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
        rows, columns = _side(convolutions, height), _side(convolutions, width)
        if head not in ("dense", "gap") or (head == "gap" and dense) or min(rows, columns) < 1:
            raise ValueError(f"no AlexNet with head {head!r}, {dense=}, input {height}x{width}")
        self.features = _features(convolutions, batch_norm=batch_norm, active=active)
        channels = [int(w) for w in convolutions if w != "M"][-1]
        self.avgpool: nn.Module
        if head == "gap":
            self.avgpool = GlobalAveragePool()
            self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels, classes))
        else:
            self.avgpool = AdaptiveAveragePool(rows, columns, POOLED)
            widths = (channels * POOLED * POOLED, *dense)
            modules: list[nn.Module] = []
            for inputs, outputs in pairwise(widths):
                modules += [nn.Dropout(dropout), nn.Linear(inputs, outputs), activation(active)]
            self.classifier = nn.Sequential(*modules, nn.Linear(widths[-1], classes))
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


def from_card(card: ModelCard) -> AlexNet:
    """Build the AlexNet that a card describes; raises as `AlexNet`."""
    return AlexNet(
        card.layers,
        card.classes,
        height=card.height,
        width=card.width,
        head=card.head,
        batch_norm=card.batch_norm,
        dropout=card.dropout,
        active=card.activation,
    )


def _shapes(layers: Layers) -> list[tuple[int, int, int]]:
    """Kernel, stride and padding of each layer."""
    convolutions = iter(_SHAPES)
    return [(3, 2, 0) if width == "M" else next(convolutions, _SHAPE) for width in layers]


def _side(layers: Layers, side: int) -> int:
    """Height or width of the features of an input of `side` pixels; below 1 if it is too small."""
    for kernel, stride, padding in _shapes(layers):
        side = (side + 2 * padding - kernel) // stride + 1
    return side


def _features(layers: Layers, *, batch_norm: bool, active: str) -> nn.Sequential:
    modules: list[nn.Module] = []
    channels = 3
    for width, (kernel, stride, padding) in zip(layers, _shapes(layers), strict=True):
        if isinstance(width, str):
            modules.append(nn.MaxPool2d(kernel, stride))
            continue
        modules.append(nn.Conv2d(channels, width, kernel, stride, padding))
        modules += [nn.BatchNorm2d(width)] if batch_norm else []
        modules.append(activation(active))
        channels = width
    return nn.Sequential(*modules)
