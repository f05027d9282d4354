"""The measurements."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgecat.study.frame import Advance
from edgecat.study.gradients import gradients_by_layer
from edgecat.study.learning import Recipe, fit, judged, seeded
from edgecat.study.material import Material
from edgecat.study.plain import NORM, PlainStudy

_PROBE = 128


@dataclass(frozen=True, kw_only=True)
class Measurements(PlainStudy):
    """Plain VGG-like networks with different activations; of sigmoids, also with batch norm.

    Attributes:
        kinds: names of the activations; `NORM` after one adds batch norm.
        depths: depths at which the initial gradient is measured.
        trained: those of `depths` that are trained as well.
        optimizer: name of the optimiser.
    """

    kinds: tuple[str, ...] = ("sigmoid", "tanh", "relu", "leaky_relu", f"sigmoid{NORM}")
    depths: tuple[int, ...] = (4, 7, 10, 13, 16)
    trained: tuple[int, ...] = (4, 13)
    optimizer: str = "adam"
    width: int = 8
    epochs: int = 12
    trial: int = 4

    @property
    def steps(self) -> int:
        """Number of images to draw and epochs to train."""
        learning = len(self.kinds) * len(self.trained) * self.seeds * self.epochs
        return self.pictures + self.validation + learning

    def measure(self, advance: Advance) -> tuple[Material, list[Gradients], list[Course]]:
        """Measure the initial gradients, then train some of the networks."""
        found = self.found(advance)
        starts = [
            self._start(found, kind, depth, seed)
            for kind in self.kinds
            for depth in self.depths
            for seed in self.each_seed
        ]
        courses = [
            course
            for kind in self.kinds
            for depth in self.trained
            for course in self._courses(found, kind, depth, advance)
        ]
        return found, starts, courses

    def _start(self, found: Material, kind: str, depth: int, seed: int) -> Gradients:
        with seeded(seed):
            model = self.network(found, depth=depth, active=kind)
        probe = found.training[slice(_PROBE)]
        return Gradients(kind, depth, seed, *gradients_by_layer(model, probe))

    def _courses(
        self, found: Material, kind: str, depth: int, advance: Advance
    ) -> Iterator[Course]:
        rate = self.tuned(found, self.optimizer, depth=depth, active=kind, shares=(0.3, 1, 3))
        for seed in self.each_seed:
            yield self._course(found, kind, depth, seed, rate, advance)

    def _course(
        self, found: Material, kind: str, depth: int, seed: int, rate: float, advance: Advance
    ) -> Course:
        points: list[tuple[float, float, float]] = []
        probe = found.training[slice(_PROBE)]

        def look(epoch: int) -> None:
            gradients.append(gradients_by_layer(model, probe)[0])
            points.append((judged(model, found.training)[0], *judged(model, found.validation)))
            advance(bool(epoch))

        gradients: list[tuple[float, ...]] = []
        with seeded(seed) as random:
            model = self.network(found, depth=depth, active=kind)
            look(0)
            fit(
                model,
                found.training,
                Recipe(self.optimizer, rate, self.batch, self.epochs),
                random=random,
                on_epoch=look,
            )
        loss, _, accuracy = (tuple(column) for column in zip(*points, strict=True))
        return Course(kind, depth, seed, rate, loss, accuracy, tuple(gradients))


@dataclass(frozen=True)
class Gradients:
    """The gradient that reaches each layer of an untrained network.

    Attributes:
        kind: the activation.
        depth: number of layers with weights.
        seed: seed of the weights.
        weights: norms of the gradient by each layer's weights, from the input.
        outputs: norms of the gradient by each layer's outputs before the activation.
    """

    kind: str
    depth: int
    seed: int
    weights: tuple[float, ...]
    outputs: tuple[float, ...]

    @property
    def factor(self) -> float:
        """The factor by which each convolution scales the gradient: a geometric mean.

        Max pooling preserves the norm, so only the layers count.
        """
        first, last = self.outputs[0], self.outputs[-2]
        return float((first / last) ** (1 / (len(self.outputs) - 2)))


@dataclass(frozen=True)
class Course:
    """The history of one training run: before the first epoch and after each.

    Attributes:
        kind: the activation.
        depth: number of layers with weights.
        seed: seed of weights and order.
        rate: learning rate found for this activation and depth.
        loss: on the training images, in nats.
        accuracy: on the validation images.
        gradients: gradient norms by each layer's weights.
    """

    kind: str
    depth: int
    seed: int
    rate: float
    loss: tuple[float, ...]
    accuracy: tuple[float, ...]
    gradients: tuple[tuple[float, ...], ...]
