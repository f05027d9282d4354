"""Knowledge distillation: learning a larger model's predictions beside the labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, kl_div, log_softmax

from edgecat.models.checkpoint import load_checkpoint
from edgecat.models.frames import input_from_frames
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.card import ModelCard


@dataclass(frozen=True)
class Teacher:
    """A trained model that a smaller one learns from.

    Source: Hinton et al., 2015, https://arxiv.org/abs/1503.02531, section 2.

    Attributes:
        model: in evaluation mode.
        card: the model's.
        temperature: divides the logits of both before their softmax.
        weight: of the teacher's predictions in the loss, 0..1.
    """

    model: nn.Module
    card: ModelCard
    temperature: float
    weight: float

    @torch.no_grad()
    def logits(self, frames: Tensor) -> Tensor:
        """Logits (n, classes) for frames (n, height, width, 3), resized to its input if needed."""
        images = input_from_frames(frames, self.card)
        size = (self.card.height, self.card.width)
        if images.shape[2:] != size:
            images = interpolate(images, size, mode="bilinear", antialias=True)
        logits: Tensor = self.model(images)
        return logits.float()

    def loss(self, labelled: Tensor, logits: Tensor, frames: Tensor) -> Tensor:
        """Mix the labels' loss with the divergence from the teacher's predictions.

        The divergence is scaled by the squared temperature, so that its gradients are as large as
        the labels' at any temperature.
        """
        soft = log_softmax(logits / self.temperature, 1)
        target = log_softmax(self.logits(frames) / self.temperature, 1)
        divergence = kl_div(soft, target, reduction="batchmean", log_target=True)
        return (1 - self.weight) * labelled + self.weight * self.temperature**2 * divergence


def load_teacher(
    path: str, labels: tuple[str, ...], device: torch.device, *, temperature: float, weight: float
) -> Teacher:
    """Load a checkpoint as a teacher.

    Raises:
        UserError: its labels are not those of the images, or it is not a checkpoint.
    """
    model, card = load_checkpoint(path)
    if card.labels != labels:
        raise UserError(
            f"the teacher {path} has the labels {', '.join(card.labels)}; expected those of the "
            f"images: {', '.join(labels)}. Train a teacher on images with these labels"
        )
    model.requires_grad_(False).to(device)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Teacher(model, card, temperature, weight)
