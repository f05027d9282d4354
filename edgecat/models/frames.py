"""From deployed frames to a module's input: the graph of `edgecat export` does the same."""

from __future__ import annotations

from torch import Tensor, float32

from edgecat_runtime.model.card import ModelCard


def input_from_frames(frames: Tensor, card: ModelCard) -> Tensor:
    """Normalise frames for a module built by `build_model`.

    Args:
        frames: uint8 (n, height, width, 3), BGR as OpenCV gives it.
        card: its `mean` and `std`, of RGB values in 0..1, count.

    Returns:
        float32 (n, 3, height, width), RGB, on the device of `frames`.
    """
    mean = frames.new_tensor(card.mean, dtype=float32).view(1, 3, 1, 1)
    std = frames.new_tensor(card.std, dtype=float32).view(1, 3, 1, 1)
    images = frames.permute(0, 3, 1, 2).flip(1).to(float32)
    return (images - 255 * mean) / (255 * std)
