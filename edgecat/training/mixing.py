"""Changes to a whole batch: mixup and cutmix of its pictures in pairs, and random erasing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Mix:
    """How each picture of a batch is mixed with another one of it.

    Attributes:
        partner: int64 (n,): whom each picture is mixed with.
        share: of the picture itself, 0..1; the rest is the partner's.
        box: top, bottom, left and right in pixels of what is the partner's; None: all is blended.
    """

    partner: NDArray[np.int64]
    share: float
    box: tuple[int, int, int, int] | None = None

    def frames(self, frames: Tensor) -> Tensor:
        """Mix frames (n, height, width, 3) of values 0..255; blended ones are float32."""
        others = frames[torch.from_numpy(self.partner).to(frames.device)]
        if self.box is None:
            return others.float().lerp(frames.float(), self.share)
        top, bottom, left, right = self.box
        mixed = frames.clone()
        mixed[:, top:bottom, left:right] = others[:, top:bottom, left:right]
        return mixed

    def loss(self, loss: Loss, logits: Tensor, labels: Tensor) -> Tensor:
        """Weigh the loss of both labels by their shares."""
        others = self._others(labels)
        return self.share * loss(logits, labels) + (1 - self.share) * loss(logits, others)

    def labels(self, labels: Tensor) -> Tensor:
        """What each mixed picture shows most of."""
        return labels if self.share >= 0.5 else self._others(labels)

    def _others(self, labels: Tensor) -> Tensor:
        return labels[torch.from_numpy(self.partner).to(labels.device)]


def draw_mix(
    n: int, size: int, *, mixup: float, cutmix: float, random: np.random.Generator
) -> Mix | None:
    """Draw how to mix a batch; None where neither is asked for.

    Args:
        n: pictures in the batch.
        size: height and width of the images in pixels.
        mixup: alpha of the Beta distribution that the share is drawn from; 0: no mixup.
        cutmix: likewise for the area of the rectangle. Of the two, each batch has either.
        random: where the draws come from.

    Sources: Zhang et al., 2017, https://arxiv.org/abs/1710.09412, equation 1; Yun et al., 2019,
    https://arxiv.org/abs/1905.04899, equations 1 and 2.
    """
    if not (mixup or cutmix):
        return None
    blend = bool(mixup) and (not cutmix or random.random() < 0.5)
    alpha = mixup if blend else cutmix
    share = float(random.beta(alpha, alpha))
    partner = random.permutation(n)
    if blend:
        return Mix(partner, share)
    side = size * math.sqrt(1 - share)
    middle = random.uniform(0, size, 2)
    edges = [round(min(max(m + d, 0), size)) for m in middle for d in (-side / 2, side / 2)]
    top, bottom, left, right = edges
    area = (bottom - top) * (right - left)
    return Mix(partner, 1 - area / size**2, (top, bottom, left, right))


def erased(frames: Tensor, chance: float, random: np.random.Generator) -> Tensor:
    """Overwrite a rectangle of 2 % to 40 % of some pictures with noise.

    Args:
        frames: uint8 (n, height, width, 3); left as they are.
        chance: of each picture, 0..1.
        random: where the draws come from.

    Source: Zhong et al., 2017, https://arxiv.org/abs/1708.04896, algorithm 1, with the rectangle
    cut to the picture where it would stick out.
    """
    frames = frames.clone()
    height, width = frames.shape[1:3]
    for i in np.flatnonzero(random.random(len(frames)) < chance):
        area = height * width * random.uniform(0.02, 0.4)
        aspect = math.exp(random.uniform(-1, 1) * math.log(0.3))
        rows = min(height, max(1, round(math.sqrt(area * aspect))))
        columns = min(width, max(1, round(math.sqrt(area / aspect))))
        top, left = random.integers((height - rows + 1, width - columns + 1)).tolist()
        noise = random.integers(0, 256, (rows, columns, 3), np.uint8)
        frames[i, top : top + rows, left : left + columns] = torch.from_numpy(noise).to(
            frames.device
        )
    return frames
