"""What a network costs: weights to read and multiply-adds to do."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from edgecat_runtime.card import ModelCard


@dataclass(frozen=True)
class Cost:
    """The cost of one frame.

    Attributes:
        weights: number of weights, without biases.
        macs: number of multiply-adds.
    """

    weights: int
    macs: int


def cost_of(card: ModelCard) -> Cost | None:
    """Count for a VGG, from the widths in its card; None for another family.

    Source: Simonyan and Zisserman, 2014, https://arxiv.org/abs/1409.1556, table 1: 3x3
    convolutions, halving at each "M", then dense layers.
    """
    if "M" not in card.layers:
        return None
    split = len(card.layers) - card.layers[::-1].index("M")
    channels, pixels, weights, macs = 3, [card.height, card.width], 0, 0
    for layer in card.layers[:split]:
        if layer == "M":
            pixels = [size // 2 for size in pixels]
            continue
        kernel = 9 * channels * int(layer)
        weights, macs = weights + kernel, macs + kernel * pixels[0] * pixels[1]
        channels = int(layer)
    first = channels * (49 if card.head == "dense" else 1)
    dense = sum(a * b for a, b in pairwise([first, *map(int, card.layers[split:]), card.classes]))
    return Cost(weights + dense, macs + dense)
