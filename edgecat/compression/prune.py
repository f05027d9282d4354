"""Structured pruning: whole channels taken out of a VGG, the least important first.

Source: Li et al., 2016, https://arxiv.org/abs/1608.08710: filters of small norm change the answer
least. Which tensors shrink together is Torch-Pruning's work: Fang et al., 2023,
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

MULTIPLE = 8  # of channels: what SIMD units and tensor cores are fed with


def pruned(model: nn.Module, card: ModelCard, keep: float) -> tuple[nn.Module, ModelCard]:
    """Keep a share of the channels of every convolution and hidden dense layer.

    Args:
        model: what `load_checkpoint` gave; left alone.
        card: the model's.
        keep: share of the channels to keep, above 0 and below 1, down to a multiple of 8.

    Returns:
        A smaller model in evaluation mode, and the card that builds it: with the new widths, and
        without what was measured on the larger one.

    Raises:
        BackendMissing: Torch-Pruning is not installed.
        UserError: no VGG, a share out of range, or channels too few to take any out.
    """
    if not isinstance(model, VGG):
        raise UserError(f"a {card.architecture} cannot be pruned; expected a vgg checkpoint")
    if not 0 < keep < 1:
        raise UserError(f"--keep is {keep:g}; expected above 0 and below 1, such as 0.5")
    thinner = _thinned(model, card, keep)
    layers = _widths(thinner, card)
    if layers == card.layers:
        raise UserError(
            f"--keep {keep:g} leaves all channels, which come in multiples of {MULTIPLE}. "
            "Keep fewer, or start from a wider network"
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
    if card.head == "dense":  # its matrix products are not followed; torch's own pooling is
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
    """The widths of a model, in the form of its card's."""
    convolutions = [m.out_channels for m in model.features if isinstance(m, nn.Conv2d)]
    dense = [m.out_features for m in model.classifier if isinstance(m, nn.Linear)][:-1]
    widths = iter((*convolutions, *dense))
    return tuple(layer if isinstance(layer, str) else next(widths) for layer in card.layers)


def parameters(model: nn.Module) -> int:
    """Number of weights, biases and norms."""
    return sum(parameter.numel() for parameter in model.parameters())
