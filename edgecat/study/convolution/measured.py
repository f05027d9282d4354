"""The measurements and their presentation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from edgecat.study.convolution.figures import TIMES, VGG_SIZE
from edgecat.study.convolution.shown import outcome
from edgecat.study.frame import Advance, Outcome, Study
from edgecat.study.maps import (
    POOLS,
    grey_of,
    shift_changes,
    vgg16_layers,
)
from edgecat.study.material import LEAST, coloured, material

_JUDGED = 8  # validation images required by `material`; nothing is trained here


@dataclass(frozen=True, kw_only=True)
class Convolution(Study):
    """Hand-made filters on images and on shifted images; and VGG16, layer by layer.

    Attributes:
        size: height and width of the images in pixels.
        pictures: number of images per seed, different ones for every seed.
    """

    size: int = 106
    pictures: int = 48

    @property
    def steps(self) -> int:
        """Number of images to draw and of poolings."""
        return self._drawn + _JUDGED + len(POOLS) * len(TIMES) * self.seeds

    @property
    def _drawn(self) -> int:
        return max(LEAST, self.pictures * self.seeds)

    def measured(self, advance: Advance = lambda steps: None) -> Callable[[], Outcome]:
        """Filter, pool and shift; then compute VGG16's weights and receptive fields."""
        found = material(
            self.data,
            training=self._drawn,
            validation=_JUDGED,
            size=self.size,
            advance=advance,
        )
        greys = grey_of(coloured(found.training.images))
        groups = [greys[number :: self.seeds] for number in range(self.seeds)]
        changes: dict[tuple[str, int], NDArray[np.float64]] = {}
        for how in POOLS:
            for times in TIMES:
                runs = []
                for group in groups:
                    runs.append(shift_changes(group, how, times))
                    advance(1)
                changes[how, times] = np.stack(runs)
        return partial(outcome, found, greys, changes, vgg16_layers(VGG_SIZE))
