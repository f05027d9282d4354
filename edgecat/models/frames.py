"""From deployed frames to a module's input: the graph of `edgecat export` does the same."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from edgecat_runtime.model.card import ModelCard


def input_from_frames(frames: Tensor, card: ModelCard) -> Tensor:
    """Normalise frames for a module built by `build_model`.

    Args:
        frames: uint8 (n, height, width, 3), BGR as OpenCV gives it.
        card: its `mean` and `std`, of RGB values in 0..1, count.

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
    """Mean and standard deviation in grey levels, float32 (1, 3, 1, 1), kept on the device.

    Copied from the host in every step, each would make the host wait for the GPU. They are made
    outside inference mode, so that gradients may pass through what is computed with them.
    """
    with torch.inference_mode(False):
        levels = [255 * torch.tensor(values, dtype=torch.float32) for values in (mean, std)]
        first, second = (values.view(1, 3, 1, 1).to(device) for values in levels)
    return first, second
