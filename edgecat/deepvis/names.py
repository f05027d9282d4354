"""The names that layers have in papers and lectures: `conv3_1`, `pool3`, `fc6`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgecat.deepvis.layers import Layer

_WORDS = {"convolution": "conv", "norm": "norm", "activation": "relu"}


def with_paper_names(layers: Sequence[Layer], architecture: str) -> tuple[Layer, ...]:
    """Name the layers of a VGG or an AlexNet as their papers do; other networks keep their names.

    A VGG numbers its convolutions by block, `conv3_1`, an AlexNet one after the other, `conv3`.
    Norms and activations go by their convolution: `norm3_1`, `relu3_1`.

    Args:
        layers: in execution order.
        architecture: as in the card.
    """
    if not architecture.startswith(("vgg", "alexnet")):
        return tuple(layers)
    return tuple(_named(layers, by_block=architecture.startswith("vgg")))


def _named(layers: Sequence[Layer], *, by_block: bool) -> list[Layer]:
    found, block, inside, number, dense = [], 1, 0, 0, 0
    for layer in layers:
        if layer.kind == "convolution":
            inside, number = inside + 1, number + 1
        if layer.kind in ("dense", "logits"):
            dense += 1
            name = f"fc{(block if by_block else number + 1) + dense - 1}"
        elif layer.kind == "pool":
            name = f"pool{block}" if inside else "pool"
            block, inside = (block + 1, 0) if inside else (block, 0)
        elif layer.kind not in _WORDS:
            name = ""
        elif dense:
            name = f"relu{(block if by_block else number + 1) + dense - 1}"
        else:
            name = f"{_WORDS[layer.kind]}{f'{block}_{inside}' if by_block else number}"
        found.append(replace(layer, alias=name))
    return found
