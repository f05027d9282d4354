"""Is it looking at the animal? Attribution inside drawn pets, whose outline is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgecat.deepvis.explain import occlusion
from edgecat.deepvis.pictures import enlarged
from edgecat.deepvis.probe import Probe
from edgecat.pets.synthetic import LABELS, draw_pet
from edgecat_runtime.errors import UserError
from edgecat_runtime.types import Image, Values

_OVERLAP = 2  # means over many pictures need no finer maps


@dataclass(frozen=True)
class Share:
    """A mean over pictures, with half of its 95 % confidence interval."""

    mean: float
    margin: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Share:
        """Take the mean of some values; what is not a number does not count."""
        known = [value for value in values if math.isfinite(value)]
        if not known:
            return cls(math.nan, math.nan, 0)
        spread = float(np.std(known, ddof=1)) if len(known) > 1 else math.nan
        return cls(float(np.mean(known)), 1.96 * spread / math.sqrt(len(known)), len(known))

    def __str__(self) -> str:
        return f"{self.mean:.1%} ± {self.margin:.1%}"


@dataclass(frozen=True)
class Looking:
    """How much of what speaks for an answer lies on the animal.

    Attributes:
        pets: how many were looked at.
        accuracy: of the answers, 0..1.
        area: the animal's share of the frame: where attribution that knows nothing would be.
        inside: by the method's name, the share of attribution inside the animal.
        elsewhere: likewise, inside the outline of the animal of another picture: what looking at
            the middle of the frame alone would give.
    """

    pets: int
    accuracy: float
    area: Share
    inside: dict[str, Share]
    elsewhere: dict[str, Share]


def looking_at_pets(
    probe: Probe,
    pets: int,
    *,
    seed: int = 9,
    on_pet: Callable[[int], None] = lambda pets: None,
) -> Looking:
    """Measure how much of Grad-CAM and of occlusion lies on the animal in drawn pictures.

    Each time the answer that the network gave is explained, right or wrong. Of an occlusion map
    what is negative counts as 0.

    Args:
        probe: of a network for cats and dogs.
        pets: how many to draw, cats and dogs in turn.
        seed: of the drawings.
        on_pet: called with 1 after each.

    Raises:
        UserError: a network for other classes, or fewer than two pets.
    """
    names = [label.lower() for label in probe.card.labels]
    if not set(LABELS) <= set(names):
        raise UserError(
            f"the model tells {', '.join(probe.card.labels)} apart; drawn pets need one with the "
            "labels cat and dog"
        )
    if pets < 2:
        raise UserError(f"{pets} pets; expected 2 or more")
    drawn = [_pet(probe, seed, number) for number in range(pets)]
    heats: dict[str, list[Values]] = {"Grad-CAM": [], "occlusion": []}
    right = 0
    for number, (frame, _) in enumerate(drawn):
        label = int(probe.run(frame).logits.argmax())
        right += names[label] == LABELS[number % 2]
        height, width = frame.shape[:2]
        heats["Grad-CAM"].append(enlarged(probe.gradcam(frame, label), height, width))
        heats["occlusion"].append(occlusion(probe, frame, label, overlap=_OVERLAP))
        on_pet(1)
    masks = [mask for _, mask in drawn]
    return Looking(
        pets,
        right / pets,
        Share.of([float(mask.mean()) for mask in masks]),
        {name: _shares(found, masks) for name, found in heats.items()},
        {name: _shares(found, masks[1:] + masks[:1]) for name, found in heats.items()},
    )


def share_inside(heat: Values, mask: NDArray[np.bool_]) -> float:
    """Give the share of what is positive in a heat map that lies inside; NaN where nothing is."""
    positive = np.clip(heat, 0, None).astype(np.float64)
    total = positive.sum()
    return float(positive[mask].sum() / total) if total > 0 else math.nan


def _shares(heats: Sequence[Values], masks: Sequence[NDArray[np.bool_]]) -> Share:
    return Share.of([share_inside(h, m) for h, m in zip(heats, masks, strict=True)])


def _pet(probe: Probe, seed: int, number: int) -> tuple[Image, NDArray[np.bool_]]:
    """Draw a pet and fit it, with its outline: uint8 (height, width, 3), bool (height, width)."""
    side = max(probe.card.height, probe.card.width, 16)
    picture, mask = draw_pet(seed * 1_000_000 + number, number % 2, side)
    outline = probe.fit(np.repeat(mask[..., None], 3, 2))[..., 0] > 127
    return probe.fit(picture), outline
