"""The probe: what a network's units say to a picture, and which pixels made them say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from edgecat.deepvis.layers import ACTIVATIONS, Layer, calls, find_layers
from edgecat.models.frames import input_from_frames
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.preprocess import preprocess
from edgecat_runtime.types import Image, Values

How = Literal["gradient", "guided", "deconv"]
Place = Literal["all", "strongest"] | tuple[int, int]

HOWS: tuple[How, ...] = ("gradient", "guided", "deconv")


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


class _Reached(Exception):
    """Every layer that was wanted has run; the rest of the network need not."""


class Probe:
    """A network that can be looked into; one thread at a time.

    Pixels here are a frame's own values, 0..255, BGR: gradients are per grey level. Every method
    fits its pictures to the network's input first (`card.fit`), so any size will do, and computes
    no layer behind the last one that it needs.

    Args:
        model: what `build_model(card)` built, with its weights. It is taken over: put into
            evaluation mode, frozen, and its activations no longer overwrite their inputs.
        card: its card.

    Attributes:
        card: the card.
        layers: in the order in which they run.
    """

    def __init__(self, model: nn.Module, card: ModelCard) -> None:
        for module in model.modules():
            if isinstance(module, (nn.ReLU, nn.LeakyReLU)):
                module.inplace = False
        self._model = model.eval().requires_grad_(False)
        self._device = next(model.parameters()).device
        self.card = card
        self.layers: tuple[Layer, ...] = find_layers(self._model, card.height, card.width)
        self._by_name = {layer.name: layer for layer in self.layers}

    def layer(self, name: str) -> Layer:
        """Look up a layer.

        Raises:
            UserError: there is none of that name.
        """
        if name not in self._by_name:
            raise UserError(
                f"layer {name!r} is not in this {self.card.architecture}; expected one of "
                f"{', '.join(self._by_name)}"
            )
        return self._by_name[name]

    def unit(self, layer: str, unit: int) -> Layer:
        """Look up a layer that has a unit of that number.

        Raises:
            UserError: no such layer or unit.
        """
        found = self.layer(layer)
        if not 0 <= unit < found.units:
            raise UserError(f"unit {unit} of {layer}; expected 0 to {found.units - 1}")
        return found

    @property
    def last_maps(self) -> Layer:
        """The last convolutional layer, activated: where Grad-CAM looks."""
        maps = [layer for layer in self.layers if layer.spatial]
        chosen = [layer for layer in maps if layer.kind in ("activation", "block")]
        return chosen[-1]

    def fit(self, picture: Image) -> Image:
        """Fit a picture, uint8 (h, w, 3) BGR, to the network: uint8 (height, width, 3)."""
        return preprocess(picture, self.card.height, self.card.width, self.card.fit)

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
            logits, maps = self._forward(self._pixels(frame[None]), layers, whole=True)
        shares = torch.softmax(logits[0].double() / self.card.temperature, 0)
        return Seen(
            frame,
            _values(logits[0]),
            _values(shares),
            {name: _values(maps[name][0]) for name in layers},
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
            return self._forward(self._pixels(frames), layers)[1]

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
        pixels = self._pixels(self.fit(picture)[None]).requires_grad_()
        maps = self._forward(pixels, [chosen.name, logits])[1]
        slopes = torch.autograd.grad(maps[logits][0, label], maps[chosen.name])[0]
        weights = slopes[0].mean((1, 2))
        heat = torch.einsum("c,chw->hw", weights, maps[chosen.name][0]).relu()
        return _values(heat)

    def filters(self) -> Values:
        """Give the first convolution's filters: float32 (units, rows, columns, 3), BGR."""
        first = next(m for m in self._model.modules() if isinstance(m, nn.Conv2d))
        return _values(first.weight.flip(1).permute(0, 2, 3, 1))

    def before(self, images: Tensor, layer: str) -> Tensor:
        """Give the maps of a layer with their gradient's graph; of an activation, its inputs.

        There a unit that is switched off can still be pushed.

        Args:
            images: normalised RGB, float32 (n, 3, height, width).
            layer: its name.
        """
        return self._forward(images, [layer], normalised=True, before=True)[1][layer]

    def shown(self) -> tuple[Layer, ...]:
        """Choose the layers worth a look at each unit: the activations, and the logits."""
        return tuple(one for one in self.layers if one.kind in ("activation", "logits"))

    def chosen(self, names: Sequence[str] | None) -> tuple[Layer, ...]:
        """Look up layers by name or by pattern (`features.*`); None: those of `shown`.

        Raises:
            UserError: a name that fits none.
        """
        if not names:
            return self.shown()
        found: dict[str, Layer] = {}
        for name in names:
            fitting = [one for one in self.layers if fnmatchcase(one.name, name)]
            found |= {one.name: one for one in fitting or [self.layer(name)]}
        return tuple(one for one in self.layers if one.name in found)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self._device

    def _pixels(self, frames: Image) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(frames)).to(self._device).float()

    def _forward(
        self,
        pixels: Tensor,
        layers: Sequence[str],
        *,
        whole: bool = False,
        normalised: bool = False,
        before: bool = False,
        how: How = "gradient",
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Run until every layer is there (or to the end): the logits, and the layers' outputs."""
        maps: dict[str, Tensor] = {}
        wanted = {self.layer(name).name for name in layers}

        def note(
            name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor
        ) -> Tensor | None:
            result = output
            if how != "gradient" and isinstance(module, ACTIVATIONS):
                result = _positive_back(inputs[0], output, how)
            if name in wanted:
                first = before and isinstance(module, ACTIVATIONS)
                maps[name] = inputs[0] if first else result
                if not whole and len(maps) == len(wanted):
                    raise _Reached
            return result

        images = pixels if normalised else input_from_frames(pixels, self.card)
        with calls(self._model, note):
            try:
                return self._model(images), maps
            except _Reached:
                return images.new_empty(0), maps

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
        pixels = self._pixels(frames).requires_grad_()
        maps = self._forward(pixels, [layer, shown or layer], how=how)[1]
        outputs = maps[layer]
        seeds = torch.zeros_like(outputs)
        for number, (unit, place) in enumerate(zip(units, places, strict=True)):
            seeds[number, unit] = _seed(outputs[number, unit].detach(), place)
        sources = [pixels, maps[shown or layer]]
        slopes = torch.autograd.grad(
            outputs, sources, seeds, allow_unused=True, materialize_grads=True
        )
        return _values(slopes[0]), _values(slopes[1])


class _Deconvolution(torch.autograd.Function):
    """An activation as it is; on the way back what is positive, whatever was let through."""

    @staticmethod
    def forward(ctx: object, inputs: Tensor, output: Tensor) -> Tensor:
        """Hand on `output`, which the activation made of `inputs`."""
        return output.clone()

    @staticmethod
    def backward(ctx: object, *slopes: Tensor) -> tuple[Tensor, None]:
        """Keep the positive part."""
        return slopes[0].clamp(min=0), None


class _Gate(torch.autograd.Function):
    """Nothing on the way forth; on the way back what is positive."""

    @staticmethod
    def forward(ctx: object, maps: Tensor) -> Tensor:
        """Hand on `maps`."""
        return maps.clone()

    @staticmethod
    def backward(ctx: object, *slopes: Tensor) -> Tensor:
        """Keep the positive part."""
        return slopes[0].clamp(min=0)


def _positive_back(inputs: Tensor, output: Tensor, how: How) -> Tensor:
    """An activation's output, changed only in how its gradient goes back."""
    if how == "deconv":
        result: Tensor = _Deconvolution.apply(inputs, output.detach())  # type: ignore[no-untyped-call]
    else:
        result = _Gate.apply(output)  # type: ignore[no-untyped-call]
    return result


def _values(tensor: Tensor) -> Values:
    result: Values = tensor.detach().float().cpu().numpy()
    return result


def _seed(values: Tensor, place: Place) -> Tensor:
    """Where a unit's way back begins, and how strong: in the shape of its map."""
    if not values.ndim:
        return torch.ones_like(values)
    if place == "all":
        return values.clamp(min=0)
    seed = torch.zeros_like(values)
    if place == "strongest":
        seed.view(-1)[values.argmax()] = 1
        return seed
    row, column = place
    if not (0 <= row < values.shape[0] and 0 <= column < values.shape[1]):
        raise UserError(f"place {place}; expected a row and a column of {tuple(values.shape)}")
    seed[row, column] = 1
    return seed


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
