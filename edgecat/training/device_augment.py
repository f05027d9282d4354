"""The augmentation of a whole batch on its device.

Without a cache, threads decode, crop and halve, and the device resizes, mirrors and recolours;
cached images are cropped and halved on the device too. The frames are those of `augment`, with the
same draws, but for rounding: they differ by at most two levels of 255.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample

from edgecat.data.batches import Batch
from edgecat.training.augment import Views
from edgecat.training.loader import BegunBatch, CachedBatch
from edgecat_runtime.model.preprocess import PADDING

Read = Callable[[Tensor, Tensor], Tensor]


def on_device(batch: Batch, device: torch.device) -> tuple[Tensor, Tensor]:
    """Copy a batch to a device, without waiting if its memory is pinned, and finish its views.

    Returns:
        Frames, uint8 (n, size, size, 3), BGR, and labels, int64 (n,).
    """
    labels = torch.from_numpy(batch.labels).to(device, non_blocking=True)
    if isinstance(batch, CachedBatch):
        return _from_cache(batch, device), labels
    frames = torch.from_numpy(batch.frames).to(device, non_blocking=True)
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
        _moved(array, device) for array in (views.crops[:, 2:], views.flips, views.colours)
    )
    grid = _grid(crops, flips, size)
    pixels = canvases.permute(0, 3, 1, 2).float()
    resized = grid_sample(pixels, grid, mode="bilinear", align_corners=False)
    changed = torch.baddbmm(colours[:, :, 3:], colours[:, :, :3], resized.flatten(2))
    frames = changed.round_().clamp_(0, 255).to(torch.uint8)
    return frames.view(-1, 3, size, size).permute(0, 2, 3, 1).contiguous()


class Places(NamedTuple):
    """Where the crops of a batch lie in the flat array, each (n, 1, 1).

    Attributes:
        offsets: first byte of the image.
        tops: first row of the crop; negative rows are padding.
        lefts: first column.
        heights: of the image.
        widths: of the image.
    """

    offsets: Tensor
    tops: Tensor
    lefts: Tensor
    heights: Tensor
    widths: Tensor


def _from_cache(batch: CachedBatch, device: torch.device) -> Tensor:
    pixels, offsets = batch.cache.bytes_of(batch.numbers, device)
    sizes = batch.cache.sizes[batch.numbers]
    canvases, views = cropped(pixels, offsets, sizes, batch.views, batch.size)
    return finished(canvases, views)


@torch.no_grad()
def cropped(
    pixels: Tensor,
    offsets: NDArray[np.int64],
    sizes: NDArray[np.int64],
    views: Views,
    size: int,
) -> tuple[Tensor, Views]:
    """Cut crops out of images and halve them while twice too large, as `begin_view` does.

    Args:
        pixels: uint8 (bytes,), the rows of BGR values of all images.
        offsets: int64 (n,), where each image begins.
        sizes: int64 (n, 2), height and width of the images.
        views: of the images.
        size: height and width of the frames to come.

    Returns:
        Canvases, uint8 (n, 2 size, 2 size, 3), and the views of the crops in their corners.
    """
    tops, lefts, *sides = views.crops.T
    arrays = (offsets, tops, lefts, *sizes.T)
    place = Places(*(_moved(array, pixels.device)[:, None, None] for array in arrays))
    starts, ends = views.crops[:, :2], views.crops[:, :2] + views.crops[:, 2:]
    padded = bool((starts < 0).any() or (ends > sizes).any())
    read: Read = partial(_read_padded if padded else _read_flat, pixels, place)
    heights, columns = sides
    while True:
        down, across = (np.where(side >= 2 * size, 2, 1) for side in (heights, columns))
        heights, columns = heights // down, columns // across
        halved = _averaged(read, (down, across), (heights, columns), pixels.device)
        if (np.maximum(heights, columns) < 2 * size).all():
            break
        read = partial(_read_canvases, halved)
    canvases = halved.new_zeros((len(offsets), 2 * size, 2 * size, 3))
    canvases[:, : halved.shape[1], : halved.shape[2]] = halved
    corners = np.stack([0 * heights, 0 * heights, heights, columns], 1)
    return canvases, replace(views, crops=corners)


def _averaged(
    read: Read,
    factors: tuple[NDArray[np.int64], NDArray[np.int64]],
    sides: tuple[NDArray[np.int64], NDArray[np.int64]],
    device: torch.device,
) -> Tensor:
    """Average blocks of 1 or 2 by 1 or 2 pixels, as each image needs: uint8 (n, rows, columns, 3).

    Rows and columns beyond an image's own repeat its last ones. Halves are rounded as OpenCV does:
    up for four pixels, to even for two.
    """
    positions = []
    for factor, side in zip(factors, sides, strict=True):
        steps = torch.arange(int(side.max()), device=device)
        own = torch.minimum(steps, _moved(side, device)[:, None] - 1)
        wide = _moved(factor, device)[:, None]
        inside = range(int(factor.max()))
        positions.append([own * wide + (wide - 1).clamp(max=offset) for offset in inside])
    taps = [
        read(row[:, :, None], column[:, None]).int()
        for row in positions[0]
        for column in positions[1]
    ]
    area = _moved(factors[0] * factors[1], device)[:, None, None, None]
    total = torch.stack(taps).sum(0) * area // len(taps)
    half = torch.where(area == 4, 2, torch.where(area == 2, total // 2 % 2, 0))
    return ((total + half) // area).to(torch.uint8)


def _read_flat(pixels: Tensor, place: Places, rows: Tensor, columns: Tensor) -> Tensor:
    first = place.offsets + 3 * ((place.tops + rows) * place.widths + place.lefts + columns)
    return pixels[first[..., None] + torch.arange(3, device=pixels.device)]


def _read_padded(pixels: Tensor, place: Places, rows: Tensor, columns: Tensor) -> Tensor:
    """Read crops that extend beyond their images: there, they are grey."""
    y, x = place.tops + rows, place.lefts + columns
    inside = (y >= 0) & (y < place.heights) & (x >= 0) & (x < place.widths)
    y, x = y.clamp(min=0).minimum(place.heights - 1), x.clamp(min=0).minimum(place.widths - 1)
    first = place.offsets + 3 * (y * place.widths + x)
    found = pixels[first[..., None] + torch.arange(3, device=pixels.device)]
    return torch.where(inside[..., None], found, PADDING)


def _read_canvases(canvases: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    images = torch.arange(len(canvases), device=canvases.device)[:, None, None]
    return canvases[images, rows, columns]


def _grid(crops: Tensor, flips: Tensor, size: int) -> Tensor:
    """Where each pixel comes from, as `cv2.resize` places it: float32 (n, size, size, 2), -1..1.

    Positions outside a crop are moved to its border, so that nothing else of the canvas mixes in.
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
    return torch.from_numpy(np.ascontiguousarray(array)).to(device, non_blocking=True)
