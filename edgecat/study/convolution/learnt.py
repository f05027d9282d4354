"""The first layer of the model that ships: filters that nobody designed."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import conv2d

from edgecat.models.checkpoint import load_checkpoint
from edgecat.pretrained import CHECKPOINT
from edgecat.study.plots import canvas, image_of, show
from edgecat.study.words import tr

EDGE, COLOUR, OTHER = "edges", "colours", "spots and lines"
KINDS = (EDGE, COLOUR, OTHER)
_SHOWN = 4


def kinds_of(weights: NDArray[np.float32]) -> list[str]:
    """Tell the kind of each filter by where its energy (the sum of its squared weights) is.

    An edge filter has half of it or more in brightness that differs between opposite sides, a
    colour filter more than half outside brightness; any other filter compares the centre with its
    surroundings, or a line with its sides.

    Args:
        weights: float32 (filters, 3, rows, columns).
    """
    brightness = weights.mean(1)
    opposite = (brightness - brightness[:, ::-1, ::-1]) / 2
    energy = (weights**2).sum((1, 2, 3))
    edges = 3 * (opposite**2).sum((1, 2)) / energy
    colours = 1 - 3 * (brightness**2).sum((1, 2)) / energy
    return [
        EDGE if edge >= 0.5 else COLOUR if colour > 0.5 else OTHER
        for edge, colour in zip(edges, colours, strict=True)
    ]


def learnt_figure(rgb: Tensor) -> str:
    """Draw the filters by kind, and what the strongest edge filters answer; an image element.

    Args:
        rgb: an image, float (3, height, width), 0..1.
    """
    model, card = load_checkpoint(CHECKPOINT)
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    weights = first.weight.detach().float()
    kinds = kinds_of(weights.numpy())
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (card.mean, card.std))
    maps = conv2d(((rgb - mean) / std)[None], weights, padding=1)[0].numpy()
    strongest = sorted(
        (i for i, kind in enumerate(kinds) if kind == EDGE), key=lambda i: -float(weights[i].norm())
    )[:_SHOWN]
    with canvas(10.2, 5.4) as figure:
        above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.15, 1))[:, 0]
        rows = above.subplots(len(KINDS), max(map(kinds.count, KINDS)), squeeze=False)
        for axes in rows.flatten():
            axes.set_axis_off()
        for row, kind in zip(rows, KINDS, strict=True):
            chosen = [i for i, one in enumerate(kinds) if one == kind]
            for axes, i in zip(row, chosen, strict=False):
                show(axes, _tile(weights[i].numpy()))
            title = tr("{kind}: {count} of {all}", kind=tr(kind), count=len(chosen), all=len(kinds))
            row[0].set_title(title, fontsize=10, loc="left")
        pair = below.subplots(1, 1 + len(strongest))
        show(pair[0], rgb.permute(1, 2, 0).numpy(), tr("image"))
        for axes, i in zip(pair[1:], strongest, strict=True):
            most = float(np.percentile(abs(maps[i]), 99.5))
            show(axes, maps[i], tr("filter {number}", number=i), cmap="RdBu_r", vmin=-most,
                 vmax=most)  # fmt: skip
        return image_of(figure, tr("The first layer of the model that ships"))


def _tile(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a filter, (3, rows, columns), as RGB around grey with maximum contrast."""
    tile: NDArray[np.float32] = 0.5 + 0.5 * weights.transpose(1, 2, 0) / abs(weights).max()
    return tile
