"""The measurements."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

from torch import nn

from edgecat.study.frame import Advance
from edgecat.study.gradients import gradients_by_layer
from edgecat.study.learning import History, Recipe, fit, judged, seeded
from edgecat.study.material import Material
from edgecat.study.plain import PlainStudy
from edgecat.study.shortcuts.network import Residual

PLAIN, SHORT, NORMED, BOTH = "plain", "shortcuts", "plain, batch norm", "shortcuts, batch norm"
VARIANTS = {PLAIN: (False, False), SHORT: (True, False), NORMED: (False, True), BOTH: (True, True)}
"""By name: whether it has shortcuts, and batch norm."""
_PROBE = 128


@dataclass(frozen=True, kw_only=True)
class Measurements(PlainStudy):
    """Networks with the same weights, with or without shortcuts and batch norm.

    Attributes:
        depths: depths at which the initial gradient is measured.
        trained: those of `depths` that are trained as well: a shallow and a deep one.
        optimizer: name of the optimiser.
        rates: learning rates to choose from. The finder does not help here: it expects a loss that
            falls at a low rate, which that of a deep network without batch norm may not do.
    """

    depths: tuple[int, ...] = (8, 14, 20, 26, 32)
    trained: tuple[int, int] = (8, 32)
    optimizer: str = "adam"
    rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3, 1e-2)
    width: int = 8
    pictures: int = 256
    epochs: int = 10
    trial: int = 3

    @property
    def steps(self) -> int:
        """Number of images to draw and epochs to train."""
        learning = len(VARIANTS) * len(self.trained) * self.seeds * self.epochs
        return self.pictures + self.validation + learning

    def network(self, found: Material, *, depth: int = 0, active: str = PLAIN) -> nn.Module:
        """Build a variant, with weights from the current seed; `active` is one of `VARIANTS`."""
        shortcuts, batch_norm = VARIANTS[active]
        return Residual(
            depth or self.depth, len(found.labels), width=self.width, shortcuts=shortcuts,
            batch_norm=batch_norm,
        )  # fmt: skip

    def measure(self, advance: Advance) -> tuple[Material, list[Flow], list[Course]]:
        """Measure the initial gradients at all depths, then train at two."""
        found = self.found(advance)
        flows = [
            self._flow(found, key, depth, seed)
            for key in VARIANTS
            for depth in self.depths
            for seed in self.each_seed
        ]
        courses = []
        for key in VARIANTS:
            for depth in self.trained:
                rate = self.best_of(self.rates, found, self.optimizer, depth=depth, active=key)
                courses += [
                    self._course(found, key, depth, seed, rate, advance) for seed in self.each_seed
                ]
        return found, flows, courses

    def _flow(self, found: Material, key: str, depth: int, seed: int) -> Flow:
        with seeded(seed):
            model = self.network(found, depth=depth, active=key)
        return Flow(key, depth, seed, _arriving(model, found))

    def _course(
        self, found: Material, key: str, depth: int, seed: int, rate: float, advance: Advance
    ) -> Course:
        rows: list[tuple[float, ...]] = []

        def look(epoch: int) -> None:
            rows.append((*judged(model, found.training), *judged(model, found.validation)))
            advance(bool(epoch))

        with seeded(seed) as random:
            model = self.network(found, depth=depth, active=key)
            look(0)
            recipe = Recipe(self.optimizer, rate, self.batch, self.epochs)
            fit(model, found.training, recipe, random=random, on_epoch=look)
        history = History(key, seed, *(tuple(column) for column in zip(*rows, strict=True)))
        return Course(depth, rate, history, _arriving(model, found))


@dataclass(frozen=True)
class Flow:
    """The gradient that reaches each layer of an untrained network.

    Attributes:
        key: one of `VARIANTS`.
        depth: number of layers with weights.
        seed: seed of the weights.
        outputs: norms of the gradient by each layer's outputs, from the input.
    """

    key: str
    depth: int
    seed: int
    outputs: tuple[float, ...]

    @property
    def reaches(self) -> float:
        """The gradient at the first convolution, as a multiple of that at the last one."""
        return self.outputs[0] / self.outputs[-2]


@dataclass(frozen=True)
class Course:
    """One training run.

    Attributes:
        depth: number of layers with weights.
        rate: learning rate found for this variant and depth.
        history: by epoch; its key is one of `VARIANTS`.
        outputs: norms of the gradient by each layer's outputs, after the last epoch.
    """

    depth: int
    rate: float
    history: History
    outputs: tuple[float, ...]


def _arriving(model: nn.Module, found: Material) -> tuple[float, ...]:
    """Return the gradient norms by layer on a few images; leaves the model as it is."""
    return gradients_by_layer(deepcopy(model), found.training[slice(_PROBE)])[1]
