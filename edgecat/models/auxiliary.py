"""Auxiliary classifiers: side exits that help to train a deep network and are absent at inference.

Networks with auxiliary classifiers return a `TrainingOutput` in training mode, else plain logits.
Source: Szegedy et al., 2014, https://arxiv.org/abs/1409.4842, section 5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, NamedTuple

from torch import Tensor, nn


class TrainingOutput(NamedTuple):
    """The output of a network with auxiliary classifiers in training mode.

    Attributes:
        logits: float (n, classes).
        auxiliary: the logits of each auxiliary classifier.
        share: weight of each auxiliary loss.
    """

    logits: Tensor
    auxiliary: tuple[Tensor, ...]
    share: float


def training_loss(
    output: Tensor | TrainingOutput, loss: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Compute the loss of a network's output in training mode.

    Args:
        output: logits, or a `TrainingOutput`.
        loss: loss function of float32 logits (n, classes).

    Returns:
        The loss, auxiliary classifiers included, and the float32 logits (n, classes).
    """
    if isinstance(output, Tensor):
        logits = output.float()
        return loss(logits), logits
    logits = output.logits.float()
    total = loss(logits)
    for auxiliary in output.auxiliary:
        total = total + output.share * loss(auxiliary.float())
    return total, logits


class Trunk(nn.Module):
    """A sequence of stages, global average pooling, dropout and one dense layer `fc`.

    Attributes:
        stages: names of the submodules, in order.
        side_exits: name of the auxiliary classifier fed by a stage's maps, by stage.
        share: weight of an auxiliary loss.
    """

    stages: ClassVar[tuple[str, ...]]
    side_exits: ClassVar[Mapping[str, str]]
    share: ClassVar[float]
    dropout: nn.Module
    fc: nn.Module

    def forward(self, images: Tensor) -> Tensor | TrainingOutput:
        """Return logits, float (n, classes); in training mode, with those of the side exits.

        Args:
            images: float (n, 3, height, width), RGB, normalised by mean and std.
        """
        maps, auxiliary = images, []
        for name in self.stages:
            maps = getattr(self, name)(maps)
            if self.training and name in self.side_exits:
                auxiliary.append(getattr(self, self.side_exits[name])(maps))
        logits: Tensor = self.fc(self.dropout(maps.mean((2, 3))))
        return TrainingOutput(logits, tuple(auxiliary), self.share) if self.training else logits
