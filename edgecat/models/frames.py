"""Preprocessing from frames to a module's input, identical to the graph of `edgecat export`."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from edgecat_runtime.model.card import ModelCard


def input_from_frames(frames: Tensor, card: ModelCard) -> Tensor:
    """Normalise frames for a module built by `build_model`.

    Args:
        frames: uint8 (n, height, width, 3), BGR as OpenCV gives it.
        card: provides `mean` and `std`, for RGB values in 0..1.

    Returns:
        float32 (n, 3, height, width), RGB, on the device of `frames`.
    """
    mean, std = _constants(card.mean, card.std, frames.device)
    images = frames.permute(0, 3, 1, 2).flip(1).to(torch.float32)
    return (images - mean) / std


@cache
def _constants(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation in grey levels, float32 (1, 3, 1, 1), on the device.

    Copying them from the host in every step would synchronise it with the GPU. They are created
    outside inference mode, so that autograd can use them.
    """
    with torch.inference_mode(False):
        levels = [255 * torch.tensor(values, dtype=torch.float32) for values in (mean, std)]
        first, second = (values.view(1, 3, 1, 1).to(device) for values in levels)
    return first, second
