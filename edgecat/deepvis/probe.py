"""The probe: the activations of a network's units for an image, and the pixels behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from edgecat.deepvis.network import Network
from edgecat.deepvis.propagation import PROPAGATIONS, Place, Propagation, seed, values_of
from edgecat_runtime.errors import UserError
from edgecat_runtime.types import Image, Values


@dataclass(frozen=True)
class Seen:
    """A network's outputs for one image.

    Attributes:
        frame: its input, uint8 (height, width, 3) BGR.
        logits: float32 (classes,).
        probabilities: float32 (classes,), at the card's temperature.
        maps: of each requested layer, by name: float32 (channels, rows, columns), or
            (units,).
    """

    frame: Image
    logits: Values
    probabilities: Values
    maps: dict[str, Values]

    def best(self, labels: Sequence[str], count: int = 5) -> list[tuple[str, float]]:
        """Return the most probable classes with their probabilities, best first."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(labels[i], float(self.probabilities[i])) for i in order]


class Probe(Network):
    """A network that can be inspected; not thread-safe.

    Pixels are frame values, 0..255, BGR: gradients are per grey level. Every method
    first fits images to the network's input (`card.fit`), so they may have any size, and computes
    no layer beyond the last one that it needs.
    """

    def run(self, picture: Image, layers: Sequence[str] = ()) -> Seen:
        """Run the network on an image.

        Args:
            picture: uint8 (h, w, 3) BGR.
            layers: layers whose maps to keep.

        Raises:
            UserError: unknown layer, or not an image.
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
        """Return the maps of several preprocessed frames.

        Args:
            frames: uint8 (n, height, width, 3) BGR.
            layers: layers whose maps to return.

        Returns:
            By layer name: float32 (n, channels, rows, columns), or (n, units), on the device.
        """
        with torch.no_grad():
            return self.forward(self.pixels(frames), layers)[1]

    def backprop(
        self,
        picture: Image,
        layer: str,
        unit: int,
        *,
        how: Propagation = "gradient",
        place: Place = "all",
    ) -> Values:
        """Back-propagate a unit to the pixels.

        - `gradient`: the true gradient. Simonyan et al., 2013, https://arxiv.org/abs/1312.6034.
        - `deconv`: at each activation the backward pass keeps the positive part and ignores
          the forward pass. Zeiler and Fergus, 2013,
          https://arxiv.org/abs/1311.2901.
        - `guided`: both: the positive part, times the activation's derivative. Springenberg et al.,
          2014, https://arxiv.org/abs/1412.6806.

        Everything else uses its gradient: transposed convolutions, max pools to the position of
        the maximum (the switches), averages spread evenly, norms by their scale, concatenations
        split, a sum (ResNet's shortcut) to both of its terms.

        Args:
            picture: uint8 (h, w, 3) BGR.
            layer: layer name.
            unit: its index.
            how: one of the methods above.
            place: `strongest`: where the unit is most active; `all`: everywhere, weighted by its
                activation (as in the toolbox); or a row and a column of its map.

        Returns:
            float32 (height, width, 3), BGR: per grey level of the network's input frame.

        Raises:
            UserError: unknown layer, unit or place.
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
        how: Propagation = "gradient",
        place: Place = "all",
    ) -> Values:
        """Back-propagate a unit to the maps of a layer: an intermediate result of `backprop`.

        Args:
            picture: uint8 (h, w, 3) BGR.
            layer: the unit's layer.
            unit: its index.
            shown: the target layer; the result is 0 if it runs after `layer`.
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
        how: Propagation = "gradient",
    ) -> Values:
        """Back-propagate one unit per frame to the pixels, all frames at once; see `backprop`.

        Args:
            frames: uint8 (n, height, width, 3) BGR, preprocessed.
            layer: layer name.
            units: n unit indices.
            places: n places.
            how: as in `backprop`.

        Returns:
            float32 (n, height, width, 3).
        """
        for unit in units:
            self.unit(layer, unit)
        return self._back(frames, layer, units, places, how)[0]

    def gradcam(self, picture: Image, label: int, layer: str | None = None) -> Values:
        """Compute Grad-CAM: where the maps of a layer support a class.

        Selvaraju et al., 2016, https://arxiv.org/abs/1610.02391: the sum of maps, weighted by the
        mean of the class's gradient over each (equation 1), clipped at 0 (equation 2).

        Args:
            picture: uint8 (h, w, 3) BGR.
            label: class index.
            layer: a layer of maps; None: the last convolutional one.

        Returns:
            float32 (rows, columns) of the layer, 0 or more; `pictures.enlarged` scales it to the
            size of a frame.

        Raises:
            UserError: unknown class, or not a layer of maps.
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
        """Return the first convolution's filters: float32 (units, rows, columns, 3), BGR."""
        first = next(m for m in self.model.modules() if isinstance(m, nn.Conv2d))
        return values_of(first.weight.flip(1).permute(0, 2, 3, 1))

    def before(self, images: Tensor, layer: str) -> Tensor:
        """Return the maps of a layer with their autograd graph; for an activation, its inputs.

        At its input, an inactive unit still has a gradient.

        Args:
            images: normalised RGB, float32 (n, 3, height, width).
            layer: layer name.
        """
        return self.forward(images, [layer], normalised=True, before=True)[1][layer]

    def _back(
        self,
        frames: Image,
        layer: str,
        units: Sequence[int],
        places: Sequence[Place],
        how: Propagation,
        shown: str | None = None,
    ) -> tuple[Values, Values]:
        """Return the gradient by the pixels, and by the maps of `shown` if given."""
        if how not in PROPAGATIONS:
            raise UserError(
                f"unknown back-propagation {how!r}; expected one of {', '.join(PROPAGATIONS)}"
            )
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
    """Open a checkpoint for inspection.

    Args:
        path: a checkpoint from `edgecat train`.
        device: `cpu`, `cuda` or `cuda:1`.

    Raises:
        DeviceError: this machine does not have this device.
        UserError: an exported model, which has no layers to inspect.
        CardError: as `load_checkpoint`.
    """
    from edgecat.models.checkpoint import load_checkpoint
    from edgecat.models.devices import choose_device
    from edgecat_runtime.model.artifact import read_card

    path = Path(path)
    if path.suffix in (".onnx", ".trt", ".rtx"):
        read_card(path)
        raise UserError(
            f"{path} is an exported model and cannot be inspected; expected the checkpoint it was "
            "exported from, a .safetensors file from edgecat train. Models made elsewhere have none"
        )
    model, card = load_checkpoint(path)
    return Probe(model.to(choose_device(device)), card)
