"""Checkpoints: safetensors files with a model card, written atomically and verified on reading."""

from __future__ import annotations

import copy
import platform
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from edgecat.models import build_model
from edgecat.models.frames import input_from_frames
from edgecat_runtime.model.artifact import read_card, seal_safetensors
from edgecat_runtime.model.card import CardError, ModelCard
from edgecat_runtime.model.golden import golden_frames, golden_rows, preprocess_fingerprint
from edgecat_runtime.system.atomic import atomic_write
from edgecat_runtime.system.counting import number_of
from edgecat_runtime.system.paths import native_path


def save_checkpoint(
    path: str | Path, model: nn.Module, card: ModelCard, *, half: bool = False
) -> ModelCard:
    """Write a checkpoint whose card contains the model's logits for the golden frames.

    Args:
        path: the file, ending in `.safetensors`.
        model: a module compatible with `build_model(card)`; its mode and device are unchanged.
        card: the card so far; golden logits, tool versions and payload hash are filled in.
        half: store the weights of convolutions and dense layers as float16, in half the space. They
            are rounded in `model` too; it still computes in float32.

    Returns:
        The card as written.

    Raises:
        UserError: the file cannot be written (the message names the path and the reason).
        CardError: wrong suffix, or the card exceeds 4,000 bytes.
    """
    if Path(path).suffix != ".safetensors":
        raise CardError(f"invalid checkpoint name {path}; expected it to end in .safetensors")
    if half:
        _round(model)
    card = replace(
        card,
        golden=golden_logits(model, card),
        preprocess_golden=preprocess_fingerprint(card.height, card.width, card.fit),
        tools={"torch": torch.__version__, "python": platform.python_version()},
    )
    tensors = {
        name: _plain(tensor.half() if half and tensor.ndim > 1 else tensor)
        for name, tensor in model.state_dict().items()
    }
    atomic_write(path, seal_safetensors(save(tensors), card))
    return read_card(path)


def load_checkpoint(path: str | Path) -> tuple[nn.Module, ModelCard]:
    """Read a checkpoint.

    Args:
        path: a file that `save_checkpoint` wrote.

    Returns:
        The module in evaluation mode, float32 on the CPU, and its card.

    Raises:
        CardError: not a checkpoint, no card, or weights that do not match the card.
        CardDamaged: the file was modified after it was written.
    """
    if Path(path).suffix != ".safetensors":
        raise CardError(
            f"{path} is not a checkpoint; expected a .safetensors file from edgecat train"
        )
    card = read_card(path)
    with torch.device("meta"):  # a card from outside may describe terabytes
        expected = {name: t.shape for name, t in build_model(card).state_dict().items()}
    try:
        with native_path(path) as name:
            tensors = load_file(name)
        if {name: tensor.shape for name, tensor in tensors.items()} != expected:
            raise RuntimeError("other tensors or shapes than the card describes")
        model = build_model(card)
        model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    except (SafetensorError, RuntimeError) as error:
        raise CardError(
            f"the weights in {path} do not match its card ({card.architecture}, {card.head} head, "
            f"{number_of(card.classes, 'label')}). Train the model again"
        ) from error
    return model.eval(), card


def golden_logits(model: nn.Module, card: ModelCard) -> tuple[tuple[float, ...], ...]:
    """Compute a module's logits for the golden frames: 4 rows of the first 16 classes.

    Uses a float32 copy on the CPU in evaluation mode, which matches a loaded file.
    """
    reference = copy.deepcopy(model).to("cpu", torch.float32).eval()
    frames = torch.from_numpy(golden_frames(card.height, card.width))
    with torch.inference_mode():
        logits: Tensor = reference(input_from_frames(frames, card))
    return golden_rows(logits.numpy())


@torch.no_grad()
def _round(model: nn.Module) -> None:
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.copy_(parameter.half())


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous()
