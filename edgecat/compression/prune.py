"""Structured pruning: remove whole channels from a VGG, the least important first.

Source: Li et al., 2016, https://arxiv.org/abs/1608.08710: filters with a small norm affect the
output least. Dependencies between tensors are resolved by Torch-Pruning: Fang et al., 2023,
https://arxiv.org/abs/2301.12900.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import nn

from edgecat.models import VGG, build_model
from edgecat_runtime.errors import BackendMissing, UserError
from edgecat_runtime.model.card import ModelCard

MULTIPLE = 8  # of channels, for SIMD units and tensor cores


def pruned(model: nn.Module, card: ModelCard, keep: float) -> tuple[nn.Module, ModelCard]:
    """Keep a fraction of the channels of every convolution and hidden dense layer.

    Args:
        model: from `load_checkpoint`; not modified.
        card: the model's card.
        keep: fraction of the channels to keep, between 0 and 1, rounded down to a multiple of 8.

    Returns:
        A smaller model in evaluation mode, and its card: with the new widths, and without what was
        measured on the larger model.

    Raises:
        BackendMissing: Torch-Pruning is not installed.
        UserError: not a VGG, a fraction out of range, or too few channels to remove any.
    """
    if not isinstance(model, VGG):
        raise UserError(f"a {card.architecture} cannot be pruned; expected a vgg checkpoint")
    if not 0 < keep < 1:
        raise UserError(f"--keep is {keep:g}; expected above 0 and below 1, such as 0.5")
    thinner = _thinned(model, card, keep)
    layers = _widths(thinner, card)
    if layers == card.layers:
        raise UserError(
            f"--keep {keep:g} removes no channels, which come in multiples of {MULTIPLE}. "
            "Use a smaller value, or start from a wider network"
        )
    its = replace(
        card,
        layers=layers,
        temperature=1.0,
        energy_limit=None,
        accuracy=None,
        accuracy_n=0,
        checkpoint_sha256="",
    )
    small = build_model(its)
    small.load_state_dict(thinner.state_dict())
    return small.eval(), its


def _thinned(model: VGG, card: ModelCard, keep: float) -> VGG:
    try:
        import torch_pruning
    except ModuleNotFoundError as error:
        raise BackendMissing(
            "torch-pruning is not installed: pip install 'edgecat[compress]'"
        ) from error
    thinner = copy.deepcopy(model)
    if card.head == "dense":  # its matrix products cannot be traced; torch's own pooling can
        thinner.avgpool = nn.AdaptiveAvgPool2d(VGG.pooled)
    torch_pruning.pruner.BasePruner(
        thinner,
        torch.zeros(1, 3, card.height, card.width),
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=1 - keep,
        round_to=MULTIPLE,
        ignored_layers=[thinner.classifier[-1]],
    ).step()
    return thinner


def _widths(model: VGG, card: ModelCard) -> tuple[int | str, ...]:
    """The layer widths of a model, in the form used by its card."""
    convolutions = [m.out_channels for m in model.features if isinstance(m, nn.Conv2d)]
    dense = [m.out_features for m in model.classifier if isinstance(m, nn.Linear)][:-1]
    widths = iter((*convolutions, *dense))
    return tuple(layer if isinstance(layer, str) else next(widths) for layer in card.layers)


def parameters(model: nn.Module) -> int:
    """Number of weights, biases and norm parameters."""
    return sum(parameter.numel() for parameter in model.parameters())
