"""What is measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgecat.study.frame import Advance
from edgecat.study.gradients import gradients_by_layer
from edgecat.study.learning import Recipe, fit, judged, seeded
from edgecat.study.pictures import Material
from edgecat.study.plain import PlainStudy

_PROBE = 128


@dataclass(frozen=True, kw_only=True)
class Measurements(PlainStudy):
    """Plain VGG-like networks without batch norm, their activations exchanged.

    Attributes:
        kinds: activations.
        depths: at which the gradient is measured before anything is learnt.
        trained: those of `depths` that learn as well.
        optimizer: by which they learn.
    """

    kinds: tuple[str, ...] = ("sigmoid", "tanh", "relu", "leaky_relu")
    depths: tuple[int, ...] = (4, 7, 10, 13, 16)
    trained: tuple[int, ...] = (4, 13)
    optimizer: str = "adam"
    width: int = 8
    epochs: int = 12
    trial: int = 4

    @property
    def steps(self) -> int:
        """Pictures to draw and passes to make."""
        learning = len(self.kinds) * len(self.trained) * self.seeds * self.epochs
        return self.pictures + self.validation + learning

    def measure(self, advance: Advance) -> tuple[Material, list[Gradients], list[Course]]:
        """Measure the gradients at the start, then let some networks learn."""
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
    """How much of the error reaches each layer of one network before it has learnt.

    Attributes:
        kind: the activation.
        depth: layers with weights.
        seed: of the weights.
        weights: norms of the gradient by each layer's weights, from the input on.
        outputs: norms of the gradient by each layer's outputs before the activation.
    """

    kind: str
    depth: int
    seed: int
    weights: tuple[float, ...]
    outputs: tuple[float, ...]

    @property
    def factor(self) -> float:
        """By what each convolution multiplies the gradient on its way back: a geometric mean.

        Max pooling passes the norm on as it is, so the layers alone count.
        """
        first, last = self.outputs[0], self.outputs[-2]
        return float((first / last) ** (1 / (len(self.outputs) - 2)))


@dataclass(frozen=True)
class Course:
    """How one network learnt: before the first pass and after each.

    Attributes:
        kind: the activation.
        depth: layers with weights.
        seed: of weights and order.
        rate: of learning, found for this activation and depth.
        loss: on the training pictures, in nats.
        accuracy: on the validation pictures.
        gradients: norms by the weights of each layer.
    """

    kind: str
    depth: int
    seed: int
    rate: float
    loss: tuple[float, ...]
    accuracy: tuple[float, ...]
    gradients: tuple[tuple[float, ...], ...]
