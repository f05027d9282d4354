"""Effects of 3x3 filters, ReLU, padding and pooling on images: the figures of `convolution`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, cosine_similarity, max_pool2d, relu

from edgecat.models import architecture, build_model
from edgecat.models.receptive import receptive_fields

FILTERS: Mapping[str, tuple[tuple[int, int, int], ...]] = {
    "upright": ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)),
    "level": ((-1, -2, -1), (0, 0, 0), (1, 2, 1)),
    "slanted": ((-2, -1, 0), (-1, 0, 1), (0, 1, 2)),
    "ring": ((1, 1, 1), (1, -8, 1), (1, 1, 1)),
}
"""Edges dark on the left, above, above left (Sobel 1968); a ring around a dark dot."""

POOLS = ("max", "mean", "skip")
"""Reductions of a 2x2 square to one value: maximum, mean, or just the first."""

SHIFTS = (1, 2, 3, 4)
MARGIN = max(SHIFTS)
_LUMA = (0.299, 0.587, 0.114)  # of red, green, blue: ITU-R BT.601
_WAYS = ((0, 1), (0, -1), (1, 0), (-1, 0))


def grey_of(rgb: Tensor) -> Tensor:
    """Convert RGB, float (n, 3, h, w), to grey, float (n, 1, h, w), of the same range."""
    return (rgb * torch.tensor(_LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def filtered(grey: Tensor, *, padding: int = 0) -> Tensor:
    """Apply the filters to images.

    Args:
        grey: float (n, 1, h, w), 0..1.
        padding: zero padding in pixels.

    Returns:
        Responses, float (n, filters, h', w'), -1..1.
    """
    weights = torch.tensor(list(FILTERS.values()), dtype=torch.float32)[:, None]
    weights = weights / weights.clamp(min=0).sum((2, 3), keepdim=True)
    return conv2d(grey, weights, padding=padding)


def pooled(maps: Tensor, how: str = "max", times: int = 1) -> Tensor:
    """Pool maps, float (n, c, h, w), this many times; `how` is one of `POOLS`."""
    for _ in range(times):
        if how == "skip":
            maps = maps[..., ::2, ::2]
        else:
            maps = (max_pool2d if how == "max" else avg_pool2d)(maps, 2)
    return maps


def patterns() -> dict[str, Tensor]:
    """Return the patterns that the filters detect, each float (1, 1, 9, 9), 0..1."""
    rows, columns = np.mgrid[-4:5, -4:5]
    ring = np.maximum(abs(rows), abs(columns)) == 1
    drawn = {
        "upright": columns > 0,
        "level": rows > 0,
        "slanted": rows + columns > 0,
        "ring": ring,
    }
    return {name: torch.from_numpy(d.astype(np.float32))[None, None] for name, d in drawn.items()}


def marks() -> dict[str, dict[str, float]]:
    """Return the maximum response of each filter (inner) to each pattern (outer)."""
    return {
        name: dict(zip(FILTERS, filtered(drawn).amax((2, 3))[0].tolist(), strict=True))
        for name, drawn in patterns().items()
    }


def border_response(grey: Tensor) -> dict[str, float]:
    """Compare each filter's response at the border of padded images with that inside.

    Args:
        grey: float (n, 1, h, w), 0..1.

    Returns:
        Mean magnitude of the response on the outermost pixels, divided by that of all others.
    """
    strength = filtered(grey, padding=1).abs().mean(0)
    inside = strength[:, 1:-1, 1:-1]
    border = (strength.sum((1, 2)) - inside.sum((1, 2))) / (strength[0].numel() - inside[0].numel())
    return dict(zip(FILTERS, (border / inside.mean((1, 2))).tolist(), strict=True))


def shift_changes(grey: Tensor, how: str = "max", times: int = 0) -> NDArray[np.float64]:
    """Measure how much the filters' maps change when the images shift by 1 to 4 pixels.

    A change is the cosine distance between the maps of an image before and after. It
    is divided by the distance between two images, since pooled maps are more alike in general.

    Args:
        grey: float (n, 1, h, w), 0..1, n of 2 or more; shifts reveal pixels of their margins.
        how: one of `POOLS`.
        times: number of pools; 0 for unpooled maps.

    Returns:
        A fraction for each of `SHIFTS`: 0 for no change, 1 for as much as another image.
    """
    height, width = (side - 2 * MARGIN for side in grey.shape[2:])

    def seen(down: int, right: int) -> Tensor:
        top, left = MARGIN + down, MARGIN + right
        view = grey[..., top : top + height, left : left + width]
        return pooled(relu(filtered(view)), how, times).flatten(1)

    still = seen(0, 0)
    other = _unlike(still, still.roll(1, 0))
    changes = [
        np.mean([_unlike(still, seen(down * shift, right * shift)) for down, right in _WAYS])
        for shift in SHIFTS
    ]
    return np.array(changes) / other


def _unlike(one: Tensor, two: Tensor) -> float:
    cosines = cosine_similarity(one.double(), two.double())
    return float(1 - cosines.mean())


@dataclass(frozen=True)
class Layer:
    """One layer of VGG16.

    Attributes:
        name: as in the paper: `conv3_1`, `pool3`.
        inputs: input channels.
        outputs: output channels.
        side: height and width of its map, in pixels.
        unpadded: the same without padding; 0 if nothing would be left.
        field: receptive field in image pixels per side.
        stride: image pixels between neighbouring positions.
    """

    name: str
    inputs: int
    outputs: int
    side: int
    unpadded: int
    field: int
    stride: int

    @property
    def weights(self) -> int:
        """Number of weights of the convolution; 0 for a pool."""
        return 9 * self.inputs * self.outputs if self.name.startswith("conv") else 0

    @property
    def dense_weights(self) -> int:
        """Number of weights of a dense layer between the same maps; 0 for a pool."""
        places = self.side**2
        return self.inputs * places * self.outputs * places if self.weights else 0

    @property
    def macs(self) -> int:
        """Multiply-adds of the convolution; a dense layer takes one per weight."""
        return self.weights * self.side**2


def vgg16_layers(size: int = 224) -> list[Layer]:
    """Return the convolutions and pools of VGG16 for images of `size` pixels, computed exactly."""
    card = architecture("vgg16").card(("one", "two"), size=size, head="gap")
    with torch.device("meta"):
        model = build_model(card)
    fields = receptive_fields(model).items()
    modules = dict(model.named_modules())
    windows = [f.rows for name, f in fields if isinstance(modules[name], (nn.Conv2d, nn.MaxPool2d))]
    found: list[Layer] = []
    block, number, channels, unpadded = 1, 0, 3, size
    for width, axis in zip(card.layers, windows, strict=True):
        pool, outputs = (True, channels) if isinstance(width, str) else (False, width)
        number = 0 if pool else number + 1
        unpadded = max(0, unpadded // 2 if pool else unpadded - 2)
        name = f"pool{block}" if pool else f"conv{block}_{number}"
        side = size // axis.stride
        found.append(Layer(name, channels, outputs, side, unpadded, axis.size, axis.stride))
        channels, block = outputs, block + pool
    return found
