"""Gradients of a network, in total and per layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from edgecat.study.material import LabelledImages

_AT_ONCE = 256


def gradient(model: nn.Module, pictures: LabelledImages) -> Tensor:
    """Return the gradient of the mean loss by all weights, float32 (weights,)."""
    model.train()
    model.zero_grad(set_to_none=True)
    for start in range(0, len(pictures), _AT_ONCE):
        part = pictures[slice(start, start + _AT_ONCE)]
        loss = cross_entropy(model(part.images), part.labels, reduction="sum") / len(pictures)
        loss.backward()  # type: ignore[no-untyped-call]
    flat = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    model.zero_grad(set_to_none=True)
    return flat


def gradients_by_layer(
    model: nn.Module, pictures: LabelledImages
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Measure the gradient that reaches each layer, from the input to the logits.

    Returns:
        The norms of the loss's gradients by each layer's weights, and by its outputs before the
        activation.
    """
    layers = layers_of(model)
    outputs: list[float] = [0.0] * len(layers)

    def listen(index: int) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def note(gradient: Tensor) -> None:
            outputs[index] = float(gradient.norm())

        def hook(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
            output.register_hook(note)  # type: ignore[no-untyped-call]

        return hook

    handles = [layer.register_forward_hook(listen(i)) for i, layer in enumerate(layers)]
    try:
        model.train()
        model.zero_grad(set_to_none=True)
        loss = cross_entropy(model(pictures.images), pictures.labels)
        loss.backward()  # type: ignore[no-untyped-call]
        weights = [float(p.grad.norm()) for p in _weights(layers) if p.grad is not None]
    finally:
        for handle in handles:
            handle.remove()
    model.zero_grad(set_to_none=True)
    return tuple(weights), tuple(outputs)


def layers_of(model: nn.Module) -> list[nn.Module]:
    """Return the layers with weights, from the input to the logits."""
    return [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]


def _weights(layers: list[nn.Module]) -> Iterator[nn.Parameter]:
    return (layer.get_parameter("weight") for layer in layers)
