"""GoogLeNet: going deeper with convolutions, with two auxiliary classifiers while training.

Source: Szegedy et al., 2014, https://arxiv.org/abs/1409.4842, table 1. As in torchvision, whose
official weights load: batch norm after every convolution, 3x3 in place of the published 5x5
convolutions, 2x2 for the last max pool, and auxiliary maps pooled to 4x4 whatever the input. The
official weights expect RGB in -1..1: what torchvision's `transform_input` computes from its usual
normalisation is a card's mean and standard deviation of 0.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

from torch import Tensor, cat, nn
from torch.nn.functional import adaptive_avg_pool2d

from edgecat.models.auxiliary import Trunk
from edgecat.models.parts import ConvNorm, Layers, activation, initialise
from edgecat_runtime.model.card import ModelCard

# Widths of the first three convolutions; of each inception block the 1x1, the 3x3 after its
# reduction, the "5x5" after its reduction, and the 1x1 after the pool; of an auxiliary classifier.
STEM: Layers = (64, 64, 192)
BLOCKS: dict[str, Layers] = {
    "inception3a": (64, 96, 128, 16, 32, 32),
    "inception3b": (128, 128, 192, 32, 96, 64),
    "inception4a": (192, 96, 208, 16, 48, 64),
    "inception4b": (160, 112, 224, 24, 64, 64),
    "inception4c": (128, 128, 256, 24, 64, 64),
    "inception4d": (112, 144, 288, 32, 64, 64),
    "inception4e": (256, 160, 320, 32, 128, 128),
    "inception5a": (256, 160, 320, 32, 128, 128),
    "inception5b": (384, 192, 384, 48, 128, 128),
}
AUXILIARY: Layers = (128, 1024)
GOOGLENET: Layers = (*STEM, *(width for block in BLOCKS.values() for width in block), *AUXILIARY)


class Inception(nn.Module):
    """Four parallel branches, concatenated.

    Args:
        inputs: input channels.
        widths: six, as in `BLOCKS`.
        active: the activation.
    """

    def __init__(self, inputs: int, widths: tuple[int, ...], active: str) -> None:
        super().__init__()
        one, narrow3, three, narrow5, five, pool = widths
        conv = partial(ConvNorm, active=active)
        self.branch1 = conv(inputs, one, kernel_size=1)
        self.branch2 = nn.Sequential(
            conv(inputs, narrow3, kernel_size=1), conv(narrow3, three, kernel_size=3, padding=1)
        )
        self.branch3 = nn.Sequential(
            conv(inputs, narrow5, kernel_size=1), conv(narrow5, five, kernel_size=3, padding=1)
        )
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(inputs, pool, kernel_size=1))
        self.outputs = one + three + five + pool

    def forward(self, maps: Tensor) -> Tensor:
        """Map float (n, inputs, h, w) to (n, outputs, h, w)."""
        branches = (self.branch1, self.branch2, self.branch3, self.branch4)
        return cat([branch(maps) for branch in branches], 1)


class SideExit(nn.Module):
    """An auxiliary classifier: float (n, inputs, h, w) to logits (n, classes)."""

    def __init__(self, inputs: int, widths: tuple[int, ...], classes: int, active: str) -> None:
        """Build it; `widths` are those of its convolution and its first dense layer."""
        super().__init__()
        convolution, dense = widths
        self.conv = ConvNorm(inputs, convolution, active=active, kernel_size=1)
        self.fc1 = nn.Linear(convolution * 16, dense)
        self.active = activation(active)
        self.dropout = nn.Dropout(0.7)
        self.fc2 = nn.Linear(dense, classes)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the logits."""
        features = self.conv(adaptive_avg_pool2d(maps, 4)).flatten(1)
        logits: Tensor = self.fc2(self.dropout(self.active(self.fc1(features))))
        return logits


class GoogLeNet(Trunk):
    """GoogLeNet built from one tuple of widths.

    Args:
        layers: widths, in the order of `GOOGLENET`.
        classes: number of logits.
        dropout: rate before the dense layer while training; torchvision's is 0.2, the paper's 0.4.
        active: the activation, by its name in `edgecat.models.parts.ACTIVATIONS`.

    Raises:
        ValueError: too many or too few widths, or an unknown activation.
    """

    stages = (
        *("conv1", "maxpool1", "conv2", "conv3", "maxpool2"),
        *("inception3a", "inception3b", "maxpool3"),
        *("inception4a", "inception4b", "inception4c", "inception4d", "inception4e", "maxpool4"),
        *("inception5a", "inception5b"),
    )
    side_exits: ClassVar[Mapping[str, str]] = {"inception4a": "aux1", "inception4d": "aux2"}
    share = 0.3

    def __init__(
        self, layers: Layers, classes: int, *, dropout: float = 0.2, active: str = "relu"
    ) -> None:
        """Build the network with newly initialised weights (`initialise`)."""
        super().__init__()
        if len(layers) != len(GOOGLENET):
            raise ValueError(f"a GoogLeNet has {len(GOOGLENET)} widths, not {len(layers)}")
        widths = [int(width) for width in layers]
        first, second, channels = widths[:3]
        conv = partial(ConvNorm, active=active)
        self.conv1 = conv(3, first, kernel_size=7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = conv(first, second, kernel_size=1)
        self.conv3 = conv(second, channels, kernel_size=3, padding=1)
        self.maxpool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.maxpool3 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.maxpool4 = nn.MaxPool2d(2, 2, ceil_mode=True)
        for number, name in enumerate(BLOCKS):
            start = 3 + 6 * number
            block = Inception(channels, tuple(widths[start : start + 6]), active)
            self.add_module(name, block)
            channels = block.outputs
            if exit_ := self.side_exits.get(name):
                self.add_module(exit_, SideExit(channels, tuple(widths[-2:]), classes, active))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, classes)
        self.apply(partial(initialise, active=active))


def from_card(card: ModelCard) -> GoogLeNet:
    """Build the GoogLeNet that a card describes; raises as `GoogLeNet`."""
    return GoogLeNet(card.layers, card.classes, dropout=card.dropout, active=card.activation)
