"""The PyTorch backend: a checkpoint served behind the protocol of every other backend."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgecat.models.checkpoint import load_checkpoint
from edgecat.models.frames import input_from_frames
from edgecat_runtime.backends import register_backend
from edgecat_runtime.model.card import ModelCard


class TorchBackend:
    """Serve a module that takes normalised RGB.

    Args:
        model: what `build_model(card)` built, with its weights; it is put into evaluation mode.
        card: its card.
    """

    name = "pytorch"

    def __init__(self, model: nn.Module, card: ModelCard) -> None:
        """Take over `model`; its device is where frames are sent."""
        self._model = model.eval()
        self._card = card
        self._device = next(model.parameters()).device
        self.device = self._device.type

    def infer(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return logits.

        Args:
            frames: uint8 (n, height, width, 3), BGR.

        Returns:
            float32 (n, classes).
        """
        with torch.inference_mode():
            batch = torch.from_numpy(np.ascontiguousarray(frames)).to(self._device)
            logits = self._model(input_from_frames(batch, self._card))
            result: NDArray[np.float32] = logits.float().cpu().numpy()
        return result

    def close(self) -> None:
        """Free the module."""
        self._model = nn.Identity()


def open_checkpoint(
    path: Path, card: ModelCard, threads: int | None = None, *, device: str = "cpu"
) -> TorchBackend:
    """Open a checkpoint for `edgecat_runtime.backends.open_backend`.

    Args:
        path: a checkpoint of `edgecat train`.
        card: the card that was read from it.
        threads: torch's threads, process-wide; None leaves them.
        device: `cpu` or `cuda`; on the latter TF32 is switched off for the whole process, which
            parity at fp32 demands.

    Raises:
        CardError: as `load_checkpoint`.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    if device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    model, _ = load_checkpoint(path)
    return TorchBackend(model.to(device), card)


register_backend(
    "pytorch",
    (".safetensors",),
    "torch",
    partial(open_checkpoint, device="cuda"),
    device="cuda",
    present=torch.cuda.is_available,
)
register_backend("pytorch", (".safetensors",), "torch", open_checkpoint)
