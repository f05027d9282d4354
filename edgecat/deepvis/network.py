"""A network with access to its layers and their outputs."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import numpy as np
import torch
from torch import Tensor, nn

from edgecat.deepvis.layers import ACTIVATIONS, Layer, calls, find_layers
from edgecat.deepvis.names import with_paper_names
from edgecat.deepvis.propagation import Propagation, positive_back
from edgecat.models.frames import input_from_frames
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.preprocess import preprocess
from edgecat_runtime.types import Image


class _Reached(Exception):
    """Raised when all requested layers have run, to skip the rest of the network."""


class Network:
    """A network and its layers; not thread-safe.

    Args:
        model: a module from `build_model(card)`, with its weights. It is taken over: put into
            evaluation mode, frozen, and its activations no longer overwrite their inputs.
        card: its card.

    Attributes:
        card: the card.
        layers: in execution order.
        model: the network.
    """

    def __init__(self, model: nn.Module, card: ModelCard) -> None:
        for module in model.modules():
            if isinstance(module, (nn.ReLU, nn.LeakyReLU)):
                module.inplace = False
        self.model = model.eval().requires_grad_(False)
        self._device = next(model.parameters()).device
        self.card = card
        found = find_layers(self.model, card.height, card.width)
        self.layers: tuple[Layer, ...] = with_paper_names(found, card.architecture)
        self._by_name = {layer.alias: layer for layer in self.layers if layer.alias}
        self._by_name |= {layer.name: layer for layer in self.layers}

    def layer(self, name: str) -> Layer:
        """Look up a layer.

        Raises:
            UserError: unknown layer.
        """
        if name not in self._by_name:
            raise UserError(
                f"layer {name!r} is not in this {self.card.architecture}; expected one of "
                f"{', '.join(one.name for one in self.layers)}"
            )
        return self._by_name[name]

    def unit(self, layer: str, unit: int) -> Layer:
        """Look up a layer and check that it has this unit.

        Raises:
            UserError: unknown layer or unit.
        """
        found = self.layer(layer)
        if not 0 <= unit < found.units:
            raise UserError(f"unit {unit} of {layer}; expected 0 to {found.units - 1}")
        return found

    @property
    def last_maps(self) -> Layer:
        """Return the activation after the last convolution: the default layer of Grad-CAM."""
        maps = [layer for layer in self.layers if layer.spatial]
        chosen = [layer for layer in maps if layer.kind in ("activation", "block")]
        return chosen[-1]

    def fit(self, picture: Image) -> Image:
        """Fit an image, uint8 (h, w, 3) BGR, to the network's input: uint8 (height, width, 3)."""
        return preprocess(picture, self.card.height, self.card.width, self.card.fit)

    def shown(self) -> tuple[Layer, ...]:
        """Return the layers worth inspecting unit by unit: the activations and the logits."""
        return tuple(one for one in self.layers if one.kind in ("activation", "logits"))

    def chosen(self, names: Sequence[str] | None) -> tuple[Layer, ...]:
        """Look up layers by name or pattern (`features.*`, `relu5_*`); None: those of `shown`.

        Raises:
            UserError: a name that matches no layer.
        """
        if not names:
            return self.shown()
        found: dict[str, Layer] = {}
        for name in names:
            fitting = [
                one
                for one in self.layers
                if fnmatchcase(one.name, name) or fnmatchcase(one.alias, name)
            ]
            found |= {one.name: one for one in fitting or [self.layer(name)]}
        return tuple(one for one in self.layers if one.name in found)

    @property
    def device(self) -> torch.device:
        """The network's device."""
        return self._device

    def pixels(self, frames: Image) -> Tensor:
        """Move frames, uint8 (n, height, width, 3) BGR, to the device as float32."""
        return torch.from_numpy(np.ascontiguousarray(frames)).to(self._device).float()

    def log_odds(self, logits: Tensor) -> Tensor:
        """The log odds of each class against all others, by the card's temperature.

        Args:
            logits: float (n, classes).

        Returns:
            (n, classes); above 0 where a class is more likely than the others together. The logit
            itself where there is one class only.
        """
        scaled = logits / self.card.temperature
        classes = scaled.shape[1]
        if classes == 1:
            return scaled
        itself = torch.eye(classes, dtype=torch.bool, device=scaled.device)
        others = scaled[:, None].expand(-1, classes, -1).masked_fill(itself, -torch.inf)
        return scaled - others.logsumexp(2)

    def forward(
        self,
        pixels: Tensor,
        layers: Sequence[str],
        *,
        whole: bool = False,
        normalised: bool = False,
        before: bool = False,
        how: Propagation = "gradient",
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Run until all requested layers are computed, or to the end.

        The last layer is kept as log odds, not as logits: what all logits have in common changes no
        prediction, and would be explained in place of the class.

        Args:
            pixels: float32 (n, height, width, 3) BGR, 0..255.
            layers: layers whose outputs are requested.
            whole: run to the end.
            normalised: the pixels are RGB (n, 3, height, width), normalised.
            before: return the input of an activation instead of its output.
            how: back-propagation rule for activations.

        Returns:
            The logits, empty if the end was not reached; and the outputs by layer name.
        """
        maps: dict[str, Tensor] = {}
        wanted = {self.layer(name).name for name in layers}

        def note(
            name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor
        ) -> Tensor | None:
            result = output
            if how != "gradient" and isinstance(module, ACTIVATIONS):
                result = positive_back(inputs[0], output, how)
            if name in wanted:
                first = before and isinstance(module, ACTIVATIONS)
                kept = inputs[0] if first else result
                maps[name] = self.log_odds(kept) if self.layer(name).kind == "logits" else kept
                if not whole and len(maps) == len(wanted):
                    raise _Reached
            return result

        images = pixels if normalised else input_from_frames(pixels, self.card)
        with calls(self.model, note):
            try:
                logits = self.model(images)
            except _Reached:
                logits = images.new_empty(0)
        return logits, maps | {name: maps[self.layer(name).name] for name in layers}
