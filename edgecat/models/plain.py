"""The common base of AlexNet and VGG: a sequence of convolutions and pools, and a dense head."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn

from edgecat.models.parts import (
    AdaptiveAveragePool,
    GlobalAveragePool,
    Layers,
    activation,
    initialise,
    split_head,
)
from edgecat_runtime.model.card import ModelCard

Shape = tuple[int, int, int]


class PlainNetwork(nn.Module):
    """A sequential network built from one tuple of widths; subclasses define its shapes.

    Args:
        layers: widths of the convolutions with "M" for a max pool, up to the last "M"; the
            widths of the dense layers follow.
        classes: number of logits.
        height: height of the input in pixels.
        width: width of the input in pixels.
        head: `dense`, as published, or `gap`: global average pooling and one dense layer.
        batch_norm: normalise after each convolution.
        dropout: rate in the head while training; 0.5 as published.
        active: the activation, by its name in `edgecat.models.parts.ACTIVATIONS`.

    Raises:
        ValueError: an unknown head or activation, dense widths with `gap`, or an input too small
            for the pools.

    Attributes:
        first: kernel, stride and padding of the first convolutions.
        others: of all others.
        pool: of each "M".
        pooled: height and width of the features before a dense head.
    """

    first: ClassVar[tuple[Shape, ...]] = ()
    others: ClassVar[Shape] = (3, 1, 1)
    pool: ClassVar[Shape]
    pooled: ClassVar[int]

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
        """Build the network with newly initialised weights (`initialise`)."""
        super().__init__()
        convolutions, dense = split_head(layers)
        rows, columns = self._side(convolutions, height), self._side(convolutions, width)
        if head not in ("dense", "gap") or (head == "gap" and dense) or min(rows, columns) < 1:
            name = type(self).__name__
            raise ValueError(f"invalid {name}: head {head!r}, {dense=}, input {height}x{width}")
        self.features = self._features(convolutions, batch_norm=batch_norm, active=active)
        channels = [int(w) for w in convolutions if w != "M"][-1]
        self.avgpool: nn.Module
        if head == "gap":
            self.avgpool = GlobalAveragePool()
            self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels, classes))
        else:
            self.avgpool = AdaptiveAveragePool(rows, columns, self.pooled)
            widths = (channels * self.pooled**2, *dense)
            modules: list[nn.Module] = []
            for inputs, outputs in pairwise(widths):
                modules += self.dense_layer(inputs, outputs, dropout, active)
            self.classifier = nn.Sequential(*modules, nn.Linear(widths[-1], classes))
        self.apply(partial(initialise, active=active))

    @classmethod
    def from_card(cls, card: ModelCard) -> PlainNetwork:
        """Build the network that a card describes; raises as the class does."""
        return cls(
            card.layers,
            card.classes,
            height=card.height,
            width=card.width,
            head=card.head,
            batch_norm=card.batch_norm,
            dropout=card.dropout,
            active=card.activation,
        )

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

    @staticmethod
    def dense_layer(inputs: int, outputs: int, dropout: float, active: str) -> list[nn.Module]:
        """Return the modules of one hidden dense layer."""
        return [nn.Linear(inputs, outputs), activation(active), nn.Dropout(dropout)]

    @classmethod
    def _shapes(cls, layers: Layers) -> Iterator[Shape]:
        convolutions = iter(cls.first)
        for width in layers:
            yield cls.pool if width == "M" else next(convolutions, cls.others)

    @classmethod
    def _side(cls, layers: Layers, side: int) -> int:
        """Return the feature size for an input of `side` pixels; below 1 if it is too small."""
        for kernel, stride, padding in cls._shapes(layers):
            side = (side + 2 * padding - kernel) // stride + 1
        return side

    @classmethod
    def _features(cls, layers: Layers, *, batch_norm: bool, active: str) -> nn.Sequential:
        modules: list[nn.Module] = []
        channels = 3
        for width, (kernel, stride, padding) in zip(layers, cls._shapes(layers), strict=True):
            if isinstance(width, str):
                modules.append(nn.MaxPool2d(kernel, stride))
                continue
            modules.append(nn.Conv2d(channels, width, kernel, stride, padding))
            modules += [nn.BatchNorm2d(width)] if batch_norm else []
            modules.append(activation(active))
            channels = width
        return nn.Sequential(*modules)
