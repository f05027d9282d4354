"""The cost of a network: weights and multiply-adds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edgecat.models.registry import build_model
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.card import ModelCard


@dataclass(frozen=True)
class Cost:
    """The cost of one frame.

    Attributes:
        weights: number of weights, without biases, norms and training-only parts.
        macs: number of multiply-adds.
    """

    weights: int
    macs: int


def cost_of(card: ModelCard) -> Cost | None:
    """Count over convolutions and dense layers; None if the card's architecture is unknown.

    The network is built and run without memory or arithmetic, on torch's `meta` device.
    """
    try:
        with torch.device("meta"):
            model = build_model(card).eval()
    except UserError:
        return None
    counts: dict[nn.Module, tuple[int, int]] = {}

    def count(module: nn.Module, inputs: Any, output: Tensor) -> None:
        weights = module.get_parameter("weight").numel()
        places = output[0].numel() // output.shape[1]
        counts[module] = (weights, weights * places)

    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(count)
    with torch.no_grad():
        model(torch.empty(1, 3, card.height, card.width, device="meta"))
    return Cost(sum(w for w, _ in counts.values()), sum(m for _, m in counts.values()))
