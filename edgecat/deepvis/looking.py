"""Does the network look at the animal? Attribution inside the known outline of drawn pets."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgecat.deepvis.explain import occlusion
from edgecat.deepvis.probe import Probe
from edgecat.deepvis.rendering import enlarged
from edgecat.pets.synthetic import LABELS, draw_pet
from edgecat_runtime.errors import UserError
from edgecat_runtime.types import Image, Values

_OVERLAP = 2  # coarse maps suffice for means over many images


@dataclass(frozen=True)
class Share:
    """A mean over images, with half of its 95 % confidence interval."""

    mean: float
    margin: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Share:
        """Average values, ignoring NaN."""
        known = [value for value in values if math.isfinite(value)]
        if not known:
            return cls(math.nan, math.nan, 0)
        spread = float(np.std(known, ddof=1)) if len(known) > 1 else math.nan
        return cls(float(np.mean(known)), 1.96 * spread / math.sqrt(len(known)), len(known))

    def __str__(self) -> str:
        return f"{self.mean:.1%} ± {self.margin:.1%}"


@dataclass(frozen=True)
class Looking:
    """The share of attribution on the animal.

    Attributes:
        pets: number of images.
        accuracy: of the predictions, 0..1.
        area: the animal's share of the frame: the expectation for uninformed attribution.
        inside: the share of attribution inside the animal, by method.
        elsewhere: likewise, inside the outline of another image's animal: the expectation for
            merely looking at the centre of the frame.
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
    """Measure the share of Grad-CAM and occlusion on the animal in drawn images.

    The predicted class is explained, correct or not. Negative values of an occlusion map
    count as 0.

    Args:
        probe: of a cat and dog classifier.
        pets: number of pets to draw, cats and dogs alternating.
        seed: seed of the drawings.
        on_pet: called with 1 after each pet.

    Raises:
        UserError: the network has other classes, or fewer than two pets are requested.
    """
    names = [label.lower() for label in probe.card.labels]
    if not set(LABELS) <= set(names):
        raise UserError(
            f"the labels are {', '.join(probe.card.labels)}; drawn pets need a model with the "
            "labels cat and dog"
        )
    if pets < 2:
        raise UserError(f"the number of pets is {pets}; expected 2 or more")
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
    """Return the share of a heat map's positive part inside a mask; NaN if nothing is positive."""
    positive = np.clip(heat, 0, None).astype(np.float64)
    total = positive.sum()
    return float(positive[mask].sum() / total) if total > 0 else math.nan


def _shares(heats: Sequence[Values], masks: Sequence[NDArray[np.bool_]]) -> Share:
    return Share.of([share_inside(h, m) for h, m in zip(heats, masks, strict=True)])


def _pet(probe: Probe, seed: int, number: int) -> tuple[Image, NDArray[np.bool_]]:
    """Draw and fit a pet and its mask: uint8 (height, width, 3), bool (height, width)."""
    side = max(probe.card.height, probe.card.width, 16)
    picture, mask = draw_pet(seed * 1_000_000 + number, number % 2, side)
    outline = probe.fit(np.repeat(mask[..., None], 3, 2))[..., 0] > 127
    return probe.fit(picture), outline
