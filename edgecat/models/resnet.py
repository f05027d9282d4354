"""ResNet: deep residual learning for image recognition.

Source: He et al., 2015, https://arxiv.org/abs/1512.03385, table 1. As in torchvision, whose
official weights load, a bottleneck's stride is in its 3x3 convolution, not in the first 1x1.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from edgecat.models.parts import GlobalAveragePool, Layers, activation, initialise
from edgecat_runtime.model.card import ModelCard

# Widths of the 7x7 convolution and of the four stages.
RESNET: Layers = (64, 64, 128, 256, 512)


class Block(nn.Module):
    """Two 3x3 convolutions with a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int, active: str) -> None:
        """Map `inputs` channels to `width`, with a stride."""
        super().__init__()
        self.conv1 = _conv(inputs, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.active = activation(active)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, maps: Tensor) -> Tensor:
        """Map float (n, inputs, h, w) to (n, width, h / stride, w / stride)."""
        inside = self.active(self.bn1(self.conv1(maps)))
        result: Tensor = self.active(self.bn2(self.conv2(inside)) + self.downsample(maps))
        return result


class Bottleneck(nn.Module):
    """A 3x3 convolution between two 1x1 that reduce and expand the channels, with a shortcut."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int, active: str) -> None:
        """Map `inputs` channels to four times `width`, with a stride."""
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = _conv(inputs, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = _conv(width, outputs, 1)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.active = activation(active)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, maps: Tensor) -> Tensor:
        """Map float (n, inputs, h, w) to (n, 4 * width, h / stride, w / stride)."""
        inside = self.active(self.bn1(self.conv1(maps)))
        inside = self.active(self.bn2(self.conv2(inside)))
        result: Tensor = self.active(self.bn3(self.conv3(inside)) + self.downsample(maps))
        return result


class ResNet(nn.Module):
    """A ResNet built from its depth and its widths.

    Args:
        block: `Block` or `Bottleneck`.
        depths: number of blocks of each of the four stages.
        layers: widths of the first convolution and of the four stages.
        classes: number of logits.
        dropout: rate before the dense layer while training; 0 as published.
        active: the activation, by its name in `edgecat.models.parts.ACTIVATIONS`.

    Raises:
        ValueError: not five widths, or an unknown activation.
    """

    def __init__(
        self,
        block: type[Block] | type[Bottleneck],
        depths: tuple[int, int, int, int],
        layers: Layers,
        classes: int,
        *,
        dropout: float = 0.0,
        active: str = "relu",
    ) -> None:
        """Build the network with newly initialised weights (`initialise`)."""
        super().__init__()
        first, *widths = (int(width) for width in layers)
        if len(widths) != len(depths):
            raise ValueError(f"a ResNet has five widths, not {len(layers)}")
        self.conv1 = _conv(3, first, 7, 2)
        self.bn1 = nn.BatchNorm2d(first)
        self.active = activation(active)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = [first, *(width * block.expansion for width in widths)]
        stages = [
            _stage(block, depth, channels, width, 1 if number == 0 else 2, active)
            for number, (depth, channels, width) in enumerate(
                zip(depths, inputs[:-1], widths, strict=True)
            )
        ]
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool = GlobalAveragePool()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(inputs[-1], classes)
        self.apply(partial(initialise, active=active))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits.

        Args:
            images: float (n, 3, height, width), RGB, normalised by mean and std.

        Returns:
            float (n, classes).
        """
        maps = self.maxpool(self.active(self.bn1(self.conv1(images))))
        maps = self.layer4(self.layer3(self.layer2(self.layer1(maps))))
        logits: Tensor = self.fc(self.dropout(self.avgpool(maps)))
        return logits


def from_card(
    card: ModelCard,
    *,
    block: type[Block] | type[Bottleneck],
    depths: tuple[int, int, int, int],
) -> ResNet:
    """Build the ResNet that a card describes; raises as `ResNet`."""
    return ResNet(
        block, depths, card.layers, card.classes, dropout=card.dropout, active=card.activation
    )


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """The shortcut of a block; an identity has no parameters, as in the official weights."""
    if stride == 1 and inputs == outputs:
        return nn.Sequential()
    return nn.Sequential(_conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


def _stage(
    block: type[Block] | type[Bottleneck],
    depth: int,
    inputs: int,
    width: int,
    stride: int,
    active: str,
) -> nn.Sequential:
    """Build `depth` blocks; the first one takes `inputs` channels and `stride`."""
    outputs = width * block.expansion
    blocks = [
        block(outputs if i else inputs, width, 1 if i else stride, active) for i in range(depth)
    ]
    return nn.Sequential(*blocks)
