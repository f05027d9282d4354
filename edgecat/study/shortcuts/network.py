"""The compared networks: 3x3 convolutions in blocks of two, which a shortcut may bridge."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu

from edgecat.models.parts import GlobalAveragePool, initialise

_STAGES = 3


class Residual(nn.Module):
    """The network of He et al. (2015, section 4.2) for small images, with its parts optional.

    A convolution with stride 2, three stages of blocks of two convolutions, each stage of half the
    size and twice the channels, global average pooling and a dense layer. The shortcuts have no
    weights (option A of the paper): where the size changes they skip pixels and pad channels with
    zeros. With or without them, networks of one seed have the same weights.

    Args:
        depth: number of layers with weights: 8, 14, 20, 26, ...
        classes: number of logits.
        width: channels of the first stage.
        shortcuts: add each block's input to its output.
        batch_norm: normalise after each convolution.

    Raises:
        ValueError: unsupported depth.
    """

    def __init__(
        self, depth: int, classes: int, *, width: int, shortcuts: bool, batch_norm: bool
    ) -> None:
        """Build the network with newly initialised weights (`initialise`)."""
        super().__init__()
        each, rest = divmod(depth - 2, 2 * _STAGES)
        if rest or not each:
            raise ValueError(f"the depth is {depth}; expected 8, 14, 20, 26, ...")
        self.stem = _layer(3, width, 2, batch_norm=batch_norm)
        blocks = []
        for stage in range(_STAGES):
            outputs = width << stage
            for number in range(each):
                first = stage > 0 and number == 0
                blocks.append(
                    _Block(
                        outputs // 2 if first else outputs, outputs, 2 if first else 1,
                        shortcut=shortcuts, batch_norm=batch_norm,
                    )
                )  # fmt: skip
        self.blocks = nn.Sequential(*blocks)
        self.pool = GlobalAveragePool()
        self.classifier = nn.Linear(width << (_STAGES - 1), classes)
        self.apply(partial(initialise, active="relu"))

    def forward(self, images: Tensor) -> Tensor:
        """Map images, float (n, 3, h, w), to logits (n, classes)."""
        logits: Tensor = self.classifier(self.pool(self.blocks(relu(self.stem(images)))))
        return logits


class _Block(nn.Module):
    """Two convolutions, the last ReLU after the sum with the shortcut, as in the paper."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, *, shortcut: bool, batch_norm: bool
    ) -> None:
        super().__init__()
        self.first = _layer(inputs, outputs, stride, batch_norm=batch_norm)
        self.second = _layer(outputs, outputs, 1, batch_norm=batch_norm)
        self.shortcut, self.stride, self.more = shortcut, stride, outputs - inputs

    def forward(self, maps: Tensor) -> Tensor:
        result: Tensor = self.second(relu(self.first(maps)))
        if self.shortcut:
            skipped = maps[..., :: self.stride, :: self.stride]
            result = result + pad(skipped, (0, 0, 0, 0, 0, self.more))
        return torch.relu(result)


def _layer(inputs: int, outputs: int, stride: int, *, batch_norm: bool) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=not batch_norm)
    return nn.Sequential(convolution, *([nn.BatchNorm2d(outputs)] if batch_norm else []))
