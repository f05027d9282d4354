"""The table of architectures, and the one function that builds a module from a model card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from edgecat.models.vgg import DENSE, VGG, VGG16, Layers, scaled
from edgecat_runtime.card import CardError, ModelCard
from edgecat_runtime.errors import UserError


@dataclass(frozen=True)
class Architecture:
    """How one architecture is described in a card and built from it.

    Attributes:
        layers: the published widths.
        dense: the published widths of the dense head.
        build: makes the module that a card describes.
        smallest: the least height and width of the input in pixels.
    """

    layers: Layers
    dense: Layers
    build: Callable[[ModelCard], nn.Module]
    smallest: int

    def widths(self, *, head: str, factor: float = 1.0) -> Layers:
        """The widths for a card: `head` is `dense` or `gap`, `factor` the channel multiplier."""
        return scaled(self.layers + (self.dense if head == "dense" else ()), factor)


def _vgg(card: ModelCard) -> nn.Module:
    return VGG(
        card.layers,
        card.classes,
        height=card.height,
        width=card.width,
        head=card.head,
        batch_norm=card.batch_norm,
        dropout=card.dropout,
    )


ARCHITECTURES = {"vgg16": Architecture(VGG16, DENSE, _vgg, 32)}


def architecture(name: str) -> Architecture:
    """Look up an architecture.

    Raises:
        UserError: there is no such architecture.
    """
    if name not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise UserError(f"architecture {name!r} is unknown; expected one of {known}")
    return ARCHITECTURES[name]


def build_model(card: ModelCard) -> nn.Module:
    """Build the PyTorch module that a card describes, with freshly drawn weights.

    Args:
        card: architecture, layers, head, batch norm, dropout, labels and input size count.

    Returns:
        A module from normalised RGB, float (n, 3, height, width), to logits, float (n, classes).

    Raises:
        UserError: an unknown architecture.
        CardError: widths or sizes from which the architecture cannot be built.
    """
    known = architecture(card.architecture)
    try:
        return known.build(card)
    except (ValueError, TypeError, RuntimeError) as error:
        raise CardError(
            f"the model card describes no {card.architecture} that can be built ({error}). "
            "Train or export the model again"
        ) from error
