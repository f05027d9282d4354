"""The moving average of a model's weights, which often predicts better than the weights do."""

from __future__ import annotations

import copy

import torch
from torch import nn


class WeightAverage:
    """An exponential moving average of a module's weights and buffers.

    Source: Polyak and Juditsky, 1992, https://doi.org/10.1137/0330046; as used by Szegedy et al.,
    2015, https://arxiv.org/abs/1512.00567, section 8.

    Attributes:
        module: a copy of the model that holds the average.
        decay: fraction of the old average kept at each update, 0..1; early updates keep less.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Start from the model's current weights."""
        self.module = copy.deepcopy(model).requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards the model's weights after update `step`, counted from 0."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        averages = self.module.state_dict().values()
        pairs = list(zip(averages, model.state_dict().values(), strict=True))
        moved = [pair for pair in pairs if pair[0].is_floating_point()]
        counts = [pair for pair in pairs if not pair[0].is_floating_point()]
        torch._foreach_lerp_([pair[0] for pair in moved], [pair[1] for pair in moved], share)
        for average, value in counts:
            average.copy_(value)
