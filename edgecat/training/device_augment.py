"""The end of the augmentation, for a whole batch on its device: resize, mirror, change colour.

The threads decode, crop and halve; what is left is what `augment` does in its last three calls,
with the same draws: the frames differ by rounding, at most two levels.
"""

from __future__ import annotations

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample

from edgecat.data.batches import Batch
from edgecat.training.augment import Views
from edgecat.training.loader import BegunBatch


def on_device(batch: Batch, device: torch.device) -> tuple[Tensor, Tensor]:
    """Copy a batch to a device, without waiting where its memory is pinned, and finish its views.

    Returns:
        Frames, uint8 (n, size, size, 3), BGR, and labels, int64 (n,).
    """
    frames = torch.from_numpy(batch.frames).to(device, non_blocking=True)
    labels = torch.from_numpy(batch.labels).to(device, non_blocking=True)
    if isinstance(batch, BegunBatch):
        frames = finished(frames, batch.views)
    return frames, labels


@torch.no_grad()
def finished(canvases: Tensor, views: Views) -> Tensor:
    """Turn canvases into frames.

    Args:
        canvases: uint8 (n, 2 size, 2 size, 3), BGR, a crop in the upper left corner of each.
        views: what to do to the crops.

    Returns:
        uint8 (n, size, size, 3), BGR, on the device of the canvases.
    """
    size, device = canvases.shape[1] // 2, canvases.device
    crops, flips, colours = (
        _moved(array, device) for array in (views.crops, views.flips, views.colours)
    )
    grid = _grid(crops, flips, size)
    pixels = canvases.permute(0, 3, 1, 2).float()
    resized = grid_sample(pixels, grid, mode="bilinear", align_corners=False)
    changed = torch.baddbmm(colours[:, :, 3:], colours[:, :, :3], resized.flatten(2))
    frames = changed.round_().clamp_(0, 255).to(torch.uint8)
    return frames.view(-1, 3, size, size).permute(0, 2, 3, 1).contiguous()


def _grid(crops: Tensor, flips: Tensor, size: int) -> Tensor:
    """Where each pixel comes from, as `cv2.resize` places it: float32 (n, size, size, 2), -1..1.

    Positions outside of a crop are moved to its border, so that nothing of the canvas mixes in.
    """
    steps = torch.arange(size, device=crops.device) + 0.5
    rows, columns = (
        (steps * side[:, None] / size - 0.5).clamp(min=0).minimum(side[:, None] - 1.0)
        for side in crops.float().unbind(1)
    )
    columns = torch.where(flips[:, None], columns.flip(1), columns)
    n = len(crops)
    x, y = columns[:, None].expand(n, size, size), rows[:, :, None].expand(n, size, size)
    return (torch.stack((x, y), 3) + 0.5) / size - 1  # a canvas is 2 size wide


def _moved(array: NDArray, device: torch.device) -> Tensor:  # type: ignore[type-arg]
    return torch.from_numpy(array).to(device, non_blocking=True)
