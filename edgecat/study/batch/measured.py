"""The measurements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from edgecat.study.frame import Advance
from edgecat.study.gradients import gradient
from edgecat.study.learning import judged, learn, seeded, shuffled
from edgecat.study.material import LabelledImages, Material
from edgecat.study.plain import PlainStudy
from edgecat.training.optim import make_optimizer

SHOWN_STEPS = 32
_DRAWS = 24
_JUDGED = (0, 4, 8)  # epochs after which gradients are compared


@dataclass(frozen=True, kw_only=True)
class Measurements(PlainStudy):
    """One network, trained with the full batch or with mini-batches.

    Attributes:
        batches: mini-batch sizes; the full batch is always included.
        full_epochs: epochs, equal to steps, with the full batch.
        full_trial: epochs to try a learning rate with the full batch.
        looks: loss measurements per epoch, with mini-batches.
    """

    batches: tuple[int, ...] = (8, 32, 128)
    validation: int = 2
    epochs: int = 20
    full_epochs: int = 100
    full_trial: int = 24
    looks: int = 2

    @property
    def steps(self) -> int:
        """Number of images to draw and epochs to train."""
        passes = self.full_epochs + self.epochs * len(self.batches)
        return self.pictures + self.validation + passes * self.seeds

    def measure(self, advance: Advance) -> tuple[Material, list[Walk], list[Cosine]]:
        """Find a learning rate per batch size, train with each, and compare gradients."""
        found = self.found(advance)
        sizes = [*(b for b in self.batches if b < len(found.training)), len(found.training)]
        rates = {size: self._rate(found, size) for size in sizes}
        walks = [
            self._walk(found, size, rates[size], seed, advance)
            for seed in self.each_seed
            for size in sizes
        ]
        return found, walks, list(self._cosines(found, sizes, rates))

    def _rate(self, found: Material, size: int) -> float:
        if size == len(found.training):
            return self.tuned(found, "gd", trial=self.full_trial)
        return self.tuned(found, "sgd", batch=size)

    def _walk(self, found: Material, size: int, rate: float, seed: int, advance: Advance) -> Walk:
        full = size == len(found.training)
        epochs = self.full_epochs if full else self.epochs
        with seeded(seed) as random:
            model = self.network(found)
            stepper = make_optimizer(model, "sgd", lr=rate, weight_decay=0)
            track = _Track(model, found.training, -(-len(found.training) // size), self.looks)
            for _ in range(epochs):
                for part in shuffled(found.training, size, random):
                    started = perf_counter()
                    learn(model, stepper, part)
                    track.stepped(perf_counter() - started)
                advance(1)
        return track.walk(size, seed, rate, keep_path=seed == self.seed)

    def _cosines(
        self, found: Material, sizes: Sequence[int], rates: Mapping[int, float]
    ) -> Iterator[Cosine]:
        """Compare mini-batch gradients with the full gradient, along one path."""
        middle = sizes[len(sizes) // 2 - 1]
        for seed in self.each_seed:
            with seeded(seed) as random:
                model = self.network(found)
                stepper = make_optimizer(model, "sgd", lr=rates[middle], weight_decay=0)
                for epoch in range(max(_JUDGED) + 1):
                    whole = gradient(model, found.training)
                    for size in sizes[:-1] if epoch in _JUDGED else ():
                        yield _cosine(model, found.training, size, epoch, seed, whole, random)
                    for part in shuffled(found.training, middle, random):
                        learn(model, stepper, part)


@dataclass(frozen=True)
class Walk:
    """One descent.

    Attributes:
        batch: batch size.
        seed: seed of weights and order.
        rate: learning rate.
        passes: epochs at each measurement.
        seconds: training time until then.
        losses: loss on all images then, in nats.
        length: total length of the steps in weight space.
        distance: straight-line distance from the first weights to the last.
        path: the weights before each of the first steps, float32 (steps, weights); empty if not
            kept.
    """

    batch: int
    seed: int
    rate: float
    passes: tuple[float, ...]
    seconds: tuple[float, ...]
    losses: tuple[float, ...]
    length: float
    distance: float
    path: Tensor

    @property
    def wander(self) -> float:
        """The length of its path divided by its distance."""
        return self.length / max(self.distance, 1e-12)

    def reached(self, loss: float) -> tuple[float, float]:
        """Return training time and epochs until the loss was this low; infinite if it never was."""
        looks = zip(self.seconds[1:], self.passes[1:], self.losses[1:], strict=True)
        for seconds, passes, value in looks:
            if value <= loss:
                return seconds, passes
        return float("inf"), float("inf")


@dataclass(frozen=True)
class Cosine:
    """Cosine similarity of mini-batch gradients with the full gradient."""

    batch: int
    epoch: int
    seed: int
    mean: float


class _Track:
    """Tracks a model: periodic loss, the length of every step, the weights of the first steps."""

    def __init__(self, model: nn.Module, pictures: LabelledImages, steps: int, looks: int) -> None:
        self.model, self.pictures = model, pictures
        self.in_pass, self.every = steps, max(1, steps // looks)
        self.seconds = self.length = 0.0
        self.done = 0
        self.rows: list[tuple[float, float, float]] = []
        self.start = self.last = self._weights()
        self.path = [self.start]
        self._look()

    def stepped(self, seconds: float) -> None:
        self.seconds += seconds
        self.done += 1
        weights = self._weights()
        self.length += float((weights - self.last).norm())
        self.last = weights
        if len(self.path) <= SHOWN_STEPS:
            self.path.append(weights)
        if self.done % self.in_pass % self.every == 0:
            self._look()

    def walk(self, batch: int, seed: int, rate: float, *, keep_path: bool) -> Walk:
        passes, seconds, losses = (tuple(column) for column in zip(*self.rows, strict=True))
        path = torch.stack(self.path) if keep_path else torch.zeros(0, 0)
        distance = float((self.last - self.start).norm())
        return Walk(batch, seed, rate, passes, seconds, losses, self.length, distance, path)

    def _look(self) -> None:
        loss = judged(self.model, self.pictures)[0]
        self.model.train()
        self.rows.append((self.done / self.in_pass, self.seconds, loss))

    def _weights(self) -> Tensor:
        return parameters_to_vector(self.model.parameters()).detach().clone()


def _cosine(
    model: nn.Module,
    pictures: LabelledImages,
    size: int,
    epoch: int,
    seed: int,
    whole: Tensor,
    random: torch.Generator,
) -> Cosine:
    values = []
    for _ in range(_DRAWS):
        some = torch.randperm(len(pictures), generator=random)[:size]
        values.append(torch.cosine_similarity(gradient(model, pictures[some]), whole, dim=0))
    return Cosine(size, epoch, seed, float(torch.stack(values).mean()))
