"""The PyTorch backend: serves a checkpoint through the common backend protocol."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgecat.models.checkpoint import load_checkpoint
from edgecat.models.devices import choose_device
from edgecat.models.frames import input_from_frames
from edgecat_runtime.backends import register_backend
from edgecat_runtime.backends.base import closed
from edgecat_runtime.model.card import ModelCard


class TorchBackend:
    """Serves a module that takes normalised RGB.

    Args:
        model: a module from `build_model(card)` with its weights; it is set to evaluation mode.
        card: its card.
    """

    name = "pytorch"
    thread_safe = True

    def __init__(self, model: nn.Module, card: ModelCard) -> None:
        """Take over `model`; frames are moved to its device."""
        self._model: nn.Module | None = model.eval()
        self._card = card
        self._device = next(model.parameters()).device
        self.device = str(self._device)

    def infer(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return logits.

        Args:
            frames: uint8 (n, height, width, 3), BGR.

        Returns:
            float32 (n, classes).
        """
        model = self._model
        if model is None:
            raise closed()
        with torch.inference_mode():
            batch = torch.from_numpy(np.require(frames, requirements=("C", "W"))).to(self._device)
            logits = model(input_from_frames(batch, self._card))
            result: NDArray[np.float32] = logits.float().cpu().numpy()
        return result

    def close(self) -> None:
        """Free the module."""
        self._model = None


def open_checkpoint(
    path: Path, card: ModelCard, threads: int | None = None, *, device: str = "cpu"
) -> TorchBackend:
    """Open a checkpoint for `edgecat_runtime.backends.open_backend`.

    Args:
        path: a checkpoint from `edgecat train`.
        card: its card.
        threads: torch's process-wide thread count; None leaves it unchanged.
        device: `cpu`, `cuda` or `cuda:1`; on a GPU, TF32 is disabled for the whole process,
            which fp32 parity requires.

    Raises:
        CardError: as `load_checkpoint`.
        DeviceError: this GPU does not exist.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    chosen = choose_device(device)
    if chosen.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    model, _ = load_checkpoint(path)
    return TorchBackend(model.to(chosen), card)


def _open_on_gpu(
    path: Path, card: ModelCard, threads: int | None = None, *, gpu: int = 0
) -> TorchBackend:
    return open_checkpoint(path, card, threads, device=f"cuda:{gpu}")


register_backend(
    "pytorch",
    (".safetensors",),
    "torch",
    _open_on_gpu,
    device="cuda",
    numbered=True,
    present=torch.cuda.is_available,
)
register_backend("pytorch", (".safetensors",), "torch", open_checkpoint)
