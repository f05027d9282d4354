"""The probe: what a network's units say to a picture, and which pixels made them say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from edgecat.deepvis.network import Network
from edgecat.deepvis.propagation import HOWS, How, Place, seed, values_of
from edgecat_runtime.errors import UserError
from edgecat_runtime.types import Image, Values


@dataclass(frozen=True)
class Seen:
    """What a network said to one picture.

    Attributes:
        frame: what it saw, uint8 (height, width, 3) BGR.
        logits: float32 (classes,).
        probabilities: float32 (classes,), at the card's temperature.
        maps: of each layer that was asked for, by name: float32 (channels, rows, columns), or
            (units,).
    """

    frame: Image
    logits: Values
    probabilities: Values
    maps: dict[str, Values]

    def best(self, labels: Sequence[str], count: int = 5) -> list[tuple[str, float]]:
        """Name the most probable classes with their probabilities, the first one first."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(labels[i], float(self.probabilities[i])) for i in order]


class Probe(Network):
    """A network that can be looked into; one thread at a time.

    Pixels here are a frame's own values, 0..255, BGR: gradients are per grey level. Every method
    fits its pictures to the network's input first (`card.fit`), so any size will do, and computes
    no layer behind the last one that it needs.
    """

    def run(self, picture: Image, layers: Sequence[str] = ()) -> Seen:
        """Show the network a picture.

        Args:
            picture: uint8 (h, w, 3) BGR.
            layers: whose maps to keep.

        Raises:
            UserError: no such layer, or no picture.
        """
        frame = self.fit(picture)
        with torch.no_grad():
            logits, maps = self.forward(self.pixels(frame[None]), layers, whole=True)
        shares = torch.softmax(logits[0].double() / self.card.temperature, 0)
        return Seen(
            frame,
            values_of(logits[0]),
            values_of(shares),
            {name: values_of(maps[name][0]) for name in layers},
        )

    def activations(self, frames: Image, layers: Sequence[str]) -> dict[str, Tensor]:
        """Give the maps of several frames that fit already.

        Args:
            frames: uint8 (n, height, width, 3) BGR.
            layers: whose maps are wanted.

        Returns:
            By the layer's name float32 (n, channels, rows, columns), or (n, units), on the device.
        """
        with torch.no_grad():
            return self.forward(self.pixels(frames), layers)[1]

    def backprop(
        self,
        picture: Image,
        layer: str,
        unit: int,
        *,
        how: How = "gradient",
        place: Place = "all",
    ) -> Values:
        """Take a unit back to the pixels.

        - `gradient`: the true one. Simonyan et al., 2013, https://arxiv.org/abs/1312.6034.
        - `deconv`: where the network has an activation the way back keeps what is positive, and
          forgets what was let through on the way forth. Zeiler and Fergus, 2013,
          https://arxiv.org/abs/1311.2901.
        - `guided`: both: positive, and times the activation's own slope. Springenberg et al.,
          2014, https://arxiv.org/abs/1412.6806.

        Everything else goes back as its gradient does: convolutions transposed, max pools to where
        the maximum was (the switches), averages spread, norms by their scale, a stack of branches
        parted, a sum (ResNet's shortcut) to both of its parts.

        Args:
            picture: uint8 (h, w, 3) BGR.
            layer: its name.
            unit: its number.
            how: as above.
            place: `strongest`: the unit where it is most active; `all`: everywhere, each place as
                strong as it is active (the toolbox's way); or a row and a column of its map.

        Returns:
            float32 (height, width, 3), BGR: per grey level of the frame as the network sees it.

        Raises:
            UserError: no such layer, unit or place.
        """
        self.unit(layer, unit)
        frame = self.fit(picture)[None]
        pixels: Values = self._back(frame, layer, [unit], [place], how)[0][0]
        return pixels

    def derivatives(
        self,
        picture: Image,
        layer: str,
        unit: int,
        shown: str,
        *,
        how: How = "gradient",
        place: Place = "all",
    ) -> Values:
        """Take a unit back to the maps of a layer: what `backprop` is on its way.

        Args:
            picture: uint8 (h, w, 3) BGR.
            layer: of the unit.
            unit: its number.
            shown: the layer to see; one that runs after `layer` is 0 everywhere.
            how: as in `backprop`.
            place: likewise.

        Returns:
            float32 (channels, rows, columns), or (units,), of `shown`.
        """
        self.unit(layer, unit)
        self.layer(shown)
        frame = self.fit(picture)[None]
        maps: Values = self._back(frame, layer, [unit], [place], how, shown)[1][0]
        return maps

    def backprop_batch(
        self,
        frames: Image,
        layer: str,
        units: Sequence[int],
        places: Sequence[Place],
        *,
        how: How = "gradient",
    ) -> Values:
        """Take a unit of each frame back to its pixels, all frames at once; see `backprop`.

        Args:
            frames: uint8 (n, height, width, 3) BGR, fitted already.
            layer: its name.
            units: n of them.
            places: n of them.
            how: as in `backprop`.

        Returns:
            float32 (n, height, width, 3).
        """
        for unit in units:
            self.unit(layer, unit)
        return self._back(frames, layer, units, places, how)[0]

    def gradcam(self, picture: Image, label: int, layer: str | None = None) -> Values:
        """Show where the maps of a layer speak for a class.

        Selvaraju et al., 2016, https://arxiv.org/abs/1610.02391: the maps, each weighted by the
        mean of the class's gradient over it (equation 1), added, and cut at 0 (equation 2).

        Args:
            picture: uint8 (h, w, 3) BGR.
            label: the class's number.
            layer: a layer of maps; None takes the last convolutional one.

        Returns:
            float32 (rows, columns) of the layer, 0 or more; `pictures.enlarged` makes it as large
            as a frame.

        Raises:
            UserError: no such class, or no layer of maps.
        """
        logits = self.unit(self.layers[-1].name, label).name
        chosen = self.layer(layer) if layer else self.last_maps
        if not chosen.spatial:
            raise UserError(f"{chosen} has no maps; expected a layer of maps for Grad-CAM")
        pixels = self.pixels(self.fit(picture)[None]).requires_grad_()
        maps = self.forward(pixels, [chosen.name, logits])[1]
        slopes = torch.autograd.grad(maps[logits][0, label], maps[chosen.name])[0]
        weights = slopes[0].mean((1, 2))
        heat = torch.einsum("c,chw->hw", weights, maps[chosen.name][0]).relu()
        return values_of(heat)

    def filters(self) -> Values:
        """Give the first convolution's filters: float32 (units, rows, columns, 3), BGR."""
        first = next(m for m in self.model.modules() if isinstance(m, nn.Conv2d))
        return values_of(first.weight.flip(1).permute(0, 2, 3, 1))

    def before(self, images: Tensor, layer: str) -> Tensor:
        """Give the maps of a layer with their gradient's graph; of an activation, its inputs.

        There a unit that is switched off can still be pushed.

        Args:
            images: normalised RGB, float32 (n, 3, height, width).
            layer: its name.
        """
        return self.forward(images, [layer], normalised=True, before=True)[1][layer]

    def _back(
        self,
        frames: Image,
        layer: str,
        units: Sequence[int],
        places: Sequence[Place],
        how: How,
        shown: str | None = None,
    ) -> tuple[Values, Values]:
        """The gradient for the pixels, and for the maps of `shown` where one is named."""
        if how not in HOWS:
            raise UserError(f"back-propagation {how!r}; expected one of {', '.join(HOWS)}")
        pixels = self.pixels(frames).requires_grad_()
        maps = self.forward(pixels, [layer, shown or layer], how=how)[1]
        outputs = maps[layer]
        seeds = torch.zeros_like(outputs)
        for number, (unit, place) in enumerate(zip(units, places, strict=True)):
            seeds[number, unit] = seed(outputs[number, unit].detach(), place)
        sources = [pixels, maps[shown or layer]]
        slopes = torch.autograd.grad(
            outputs, sources, seeds, allow_unused=True, materialize_grads=True
        )
        return values_of(slopes[0]), values_of(slopes[1])


def open_probe(path: str | Path, *, device: str = "cpu") -> Probe:
    """Open a checkpoint to look into.

    Args:
        path: a checkpoint of `edgecat train`.
        device: `cpu`, `cuda` or `cuda:1`.

    Raises:
        DeviceError: this machine has no such device.
        UserError: an exported model, which has no layers to look into any more.
        CardError: as `load_checkpoint`.
    """
    from edgecat.models.checkpoint import load_checkpoint
    from edgecat.models.devices import choose_device
    from edgecat_runtime.model.artifact import read_card

    path = Path(path)
    if path.suffix in (".onnx", ".trt", ".rtx"):
        read_card(path)
        raise UserError(
            f"{path} is exported and cannot be looked into; expected the checkpoint that it came "
            "from, a .safetensors file of edgecat train"
        )
    model, card = load_checkpoint(path)
    return Probe(model.to(choose_device(device)), card)
