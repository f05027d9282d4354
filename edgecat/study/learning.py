"""A minimal trainer for the studies: plain networks and a simple loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from edgecat.models.parts import Layers
from edgecat.models.vgg import VGG
from edgecat.study.material import LabelledImages, Material
from edgecat.training.config import LEARNING_RATES
from edgecat.training.finder import RateSweep, smoothed, suggested
from edgecat.training.optim import make_optimizer, set_learning_rate

_BLOCKS = 3
_AT_ONCE = 256


def plain_network(
    depth: int,
    classes: int,
    *,
    size: int,
    width: int = 16,
    active: str = "relu",
    batch_norm: bool = False,
) -> VGG:
    """Build a VGG-like network: three blocks of 3x3 convolutions, each followed by a pool.

    Args:
        depth: number of layers with weights, the last one dense: 4, 7, 10, 13, ...
        classes: number of logits.
        size: height and width of the input in pixels.
        width: channels of the first block; doubled in each block.
        active: activation, by its name in `edgecat.models.parts.ACTIVATIONS`.
        batch_norm: normalise after each convolution.

    Raises:
        ValueError: unsupported depth.
    """
    each, rest = divmod(depth - 1, _BLOCKS)
    if rest or not each:
        raise ValueError(f"the depth is {depth}; expected 4, 7, 10, 13, ...")
    layers: Layers = ()
    for block in range(_BLOCKS):
        layers += (*[width << block] * each, "M")
    return VGG(
        layers, classes, height=size, width=size, head="gap", dropout=0, active=active,
        batch_norm=batch_norm,
    )  # fmt: skip


@contextmanager
def seeded(seed: int) -> Iterator[torch.Generator]:
    """Seed weights and dropout; yield a generator for the order of the images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield torch.Generator().manual_seed(seed)


def shuffled(
    pictures: LabelledImages, batch: int, random: torch.Generator
) -> Iterator[LabelledImages]:
    """Yield the shuffled batches of one epoch; the last one may be smaller."""
    order = torch.randperm(len(pictures), generator=random)
    for chosen in torch.split(order, batch):
        yield pictures[chosen]


def learn(model: nn.Module, optimizer: Optimizer, batch: LabelledImages) -> Tensor:
    """Take one step; return the loss before it, in nats."""
    optimizer.zero_grad(set_to_none=True)
    loss = cross_entropy(model(batch.images), batch.labels)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.detach()


@dataclass(frozen=True)
class Recipe:
    """The training settings.

    Attributes:
        optimizer: optimiser, by its name in `edgecat.training.optim`.
        rate: learning rate.
        batch: batch size; the full batch for `gd`.
        epochs: number of epochs.
    """

    optimizer: str
    rate: float
    batch: int
    epochs: int


def fit(
    model: nn.Module,
    pictures: LabelledImages,
    recipe: Recipe,
    *,
    random: torch.Generator,
    change: Callable[[LabelledImages], LabelledImages] = lambda batch: batch,
    on_epoch: Callable[[int], None] = lambda epoch: None,
) -> None:
    """Train at a constant learning rate, without weight decay or augmentation.

    Args:
        model: trained in place, in training mode.
        pictures: number of training images.
        recipe: the training settings.
        random: generator of the order.
        change: transforms each batch before the step.
        on_epoch: called after each epoch with its number, from 1.
    """
    stepper = make_optimizer(model, recipe.optimizer, lr=recipe.rate, weight_decay=0)
    size = len(pictures) if recipe.optimizer == "gd" else recipe.batch
    for epoch in range(1, recipe.epochs + 1):
        model.train()
        for part in shuffled(pictures, size, random):
            learn(model, stepper, change(part))
        on_epoch(epoch)


def judged(model: nn.Module, pictures: LabelledImages) -> tuple[float, float]:
    """Return the mean loss in nats and the accuracy, in evaluation mode."""
    model.eval()
    loss = right = 0.0
    with torch.no_grad():
        for start in range(0, len(pictures), _AT_ONCE):
            part = pictures[slice(start, start + _AT_ONCE)]
            logits = model(part.images)
            loss += float(cross_entropy(logits, part.labels, reduction="sum"))
            right += float((logits.argmax(1) == part.labels).sum())
    return loss / len(pictures), right / len(pictures)


@dataclass(frozen=True)
class History:
    """The history of one training run: before the first epoch and after each.

    Attributes:
        key: the compared variant: an optimiser, a rate, ...
        seed: seed of weights and order.
        training_loss: on the training images, in nats.
        training_accuracy: likewise, 0..1.
        validation_loss: on the validation images.
        validation_accuracy: likewise.
    """

    key: str
    seed: int
    training_loss: tuple[float, ...]
    training_accuracy: tuple[float, ...]
    validation_loss: tuple[float, ...]
    validation_accuracy: tuple[float, ...]


def followed(
    model: nn.Module,
    found: Material,
    recipe: Recipe,
    *,
    key: str,
    seed: int,
    random: torch.Generator,
    advance: Callable[[int], None],
    change: Callable[[LabelledImages], LabelledImages] = lambda batch: batch,
) -> History:
    """Train a network and evaluate it every epoch; arguments as for `fit` and `History`."""
    rows: list[tuple[float, ...]] = []

    def look(epoch: int) -> None:
        rows.append((*judged(model, found.training), *judged(model, found.validation)))
        advance(bool(epoch))

    look(0)
    fit(
        model,
        found.training,
        recipe,
        random=random,
        change=change,
        on_epoch=look,
    )
    return History(key, seed, *(tuple(column) for column in zip(*rows, strict=True)))


def climbed(
    model: nn.Module,
    pictures: LabelledImages,
    *,
    optimizer: str,
    batch: int,
    random: torch.Generator,
    steps: int = 80,
    reach: tuple[float, float] = (1e-3, 1e2),
) -> RateSweep:
    """Find a learning rate as `edgecat train --find-lr` does; this modifies the model.

    Args:
        model: the model to try it on; its weights are unusable afterwards.
        pictures: number of training images.
        optimizer: optimiser, by its name in `edgecat.training.optim`.
        batch: batch size; the full batch for `gd`.
        random: generator of the order.
        steps: steps from the lowest rate to the highest, unless the smoothed loss doubles before.
        reach: these two rates, as multiples of the optimiser's default.

    Raises:
        UserError: the loss rose from the start.
    """
    own = LEARNING_RATES[optimizer]
    stepper = make_optimizer(model, optimizer, lr=own, weight_decay=0)
    model.train()
    size = len(pictures) if optimizer == "gd" else batch
    rates: list[float] = []
    losses: list[float] = []
    for part in islice(_endless(pictures, size, random), steps):
        share = len(rates) / (steps - 1)
        rates.append(own * reach[0] * (reach[1] / reach[0]) ** share)
        set_learning_rate(stepper, rates[-1])
        losses.append(float(learn(model, stepper, part)))
        averages = smoothed(losses)
        if not averages[-1] < 2 * min(averages):
            break
    finite = [i for i, loss in enumerate(losses) if math.isfinite(loss)]
    rates, losses = rates[: len(finite)], losses[: len(finite)]
    return RateSweep(tuple(rates), tuple(losses), smoothed(losses), suggested(rates, losses))


def _endless(
    pictures: LabelledImages, size: int, random: torch.Generator
) -> Iterator[LabelledImages]:
    while True:
        yield from shuffled(pictures, size, random)
