"""Knowledge distillation: learning a larger model's answers beside the labels."""

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
        weight: of the teacher's answers in the loss, 0..1.
    """

    model: nn.Module
    card: ModelCard
    temperature: float
    weight: float

    @torch.no_grad()
    def answers(self, frames: Tensor) -> Tensor:
        """Logits (n, classes) for frames (n, height, width, 3), resized where it takes others."""
        images = input_from_frames(frames, self.card)
        size = (self.card.height, self.card.width)
        if images.shape[2:] != size:
            images = interpolate(images, size, mode="bilinear", antialias=True)
        logits: Tensor = self.model(images)
        return logits.float()

    def loss(self, labelled: Tensor, logits: Tensor, frames: Tensor) -> Tensor:
        """Mix the labels' loss with the divergence from the teacher's answers.

        The divergence counts squared temperature times, so that its gradients are as large as the
        labels' at any temperature.
        """
        soft = log_softmax(logits / self.temperature, 1)
        wanted = log_softmax(self.answers(frames) / self.temperature, 1)
        apart = kl_div(soft, wanted, reduction="batchmean", log_target=True)
        return (1 - self.weight) * labelled + self.weight * self.temperature**2 * apart


def load_teacher(
    path: str, labels: tuple[str, ...], device: torch.device, *, temperature: float, weight: float
) -> Teacher:
    """Read a checkpoint as a teacher.

    Raises:
        UserError: it answers other labels than the pictures have, or is no checkpoint.
    """
    model, card = load_checkpoint(path)
    if card.labels != labels:
        raise UserError(
            f"the teacher {path} answers {', '.join(card.labels)}; expected the labels of the "
            f"pictures: {', '.join(labels)}. Train a teacher on pictures with these labels"
        )
    model.requires_grad_(False).to(device)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Teacher(model, card, temperature, weight)
