"""Fitted energy for out-of-distribution detection: a shared term in the last layer.

Softmax ignores a term that is added to every logit, but the energy does not. So the last layer
W f + b becomes (W + 1 v) f + b + 1 c: identical probabilities, and an energy lower by v f + c.
v and c are fitted by logistic regression, so that photographs have low energy and frames that show
none of the classes have high energy: outlier exposure (Hendrycks et al. 2019,
https://arxiv.org/abs/1812.04606) in terms of energy (Liu et al. 2020,
https://arxiv.org/abs/2010.03759, section 3.2), applied to the last layer only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from edgecat.models.frames import input_from_frames
from edgecat.scores import energies
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.golden import golden_frames

Floats = NDArray[np.float32]

STRENGTH = 1e-3
INSIDE = 0.9
LOST = 0.01
_STEPS, _ROUNDS = 100, 6


@dataclass(frozen=True)
class Known:
    """The term added to every logit: `features @ weights + bias`.

    Attributes:
        weights: float32 (features,).
        bias: scalar.
    """

    weights: Floats
    bias: float

    def energies(self, features: Features, temperature: float) -> NDArray[np.float64]:
        """The energies (n,) of frames with this term in the last layer."""
        shift = features.values.astype(np.float64) @ self.weights.astype(np.float64) + self.bias
        return np.asarray(energies(features.centred, temperature) - shift)


@dataclass(frozen=True)
class Features:
    """The last layer's inputs and outputs for some frames.

    Attributes:
        values: float32 (n, features).
        logits: float32 (n, classes).
    """

    values: Floats
    logits: Floats

    @property
    def centred(self) -> Floats:
        """The logits minus their mean over the classes, which does not affect probabilities."""
        return np.asarray(self.logits - self.logits.mean(1, keepdims=True))

    def __len__(self) -> int:
        """Count the frames."""
        return len(self.values)


class Head:
    """The last dense layer of a network, whose shared term can be removed or replaced.

    Args:
        model: in evaluation mode.
        card: its card.

    Raises:
        UserError: the logits are not computed by a dense layer.
    """

    def __init__(self, model: nn.Module, card: ModelCard) -> None:
        self._model, self._card = model, card
        self.layer = _last_dense(model, card)

    def features(self, batches: Iterable[NDArray[np.uint8]]) -> Features:
        """Run batches of frames, uint8 (n, height, width, 3) BGR, up to the last layer."""
        values: list[Floats] = []
        logits: list[Floats] = []

        def keep(module: nn.Module, given: tuple[Tensor, ...], answer: Tensor) -> None:
            values.append(given[0].float().numpy().copy())
            logits.append(answer.float().numpy().copy())

        handle = self.layer.register_forward_hook(keep)
        try:
            with torch.inference_mode():
                for frames in batches:
                    self._model(input_from_frames(torch.from_numpy(frames), self._card))
        finally:
            handle.remove()
        return Features(np.concatenate(values), np.concatenate(logits))

    @torch.no_grad()
    def energies(self, features: Features, temperature: float) -> NDArray[np.float64]:
        """The energies (n,) from the last layer in its current state."""
        logits = self.layer(torch.from_numpy(features.values)).numpy()
        return energies(logits, temperature)

    @torch.no_grad()
    def share(self, known: Known, *, half: bool = False) -> None:
        """Replace the last layer's shared term.

        Args:
            known: the shared term.
            half: round the weights as a float16 file does.
        """
        layer = self.layer
        weight = layer.weight.double()
        layer.weight.copy_(weight - weight.mean(0) + torch.from_numpy(known.weights).double())
        if half:
            layer.weight.copy_(layer.weight.half())
        bias = layer.bias.double()
        layer.bias.copy_(bias - bias.mean() + known.bias)


def fit_known(
    inside: Features,
    outside: Sequence[Features],
    temperature: float,
    strength: float = STRENGTH,
) -> Known:
    """Fit the shared term by logistic regression on in-distribution and outlier frames.

    Minimises the cross entropy of "inside", whose log odds are the negative energy, plus `strength`
    times the squared weights of the scaled features. Photographs have a weight of 0.9: one in a
    hundred of them may be rejected, but one in ten of the outliers may pass. Outlier kinds that
    are missed gain weight from round to round, so that none is sacrificed for the others.

    Args:
        inside: photographs of the classes.
        outside: frames that show none of the classes, one set per kind.
        temperature: of the energy.
        strength: of the penalty; it keeps the shared term small, since int8 and fp16 round it
            together with the rest.
    """
    values = np.concatenate([part.values for part in (inside, *outside)]).astype(np.float64)
    mean, variance = values.mean(0), values.var(0)
    deviation = np.sqrt(variance + variance.mean() + np.finfo(np.float64).tiny)
    offset = -np.concatenate([energies(part.centred, temperature) for part in (inside, *outside)])
    ends = np.cumsum([len(inside), *map(len, outside)])
    problem = _Regression((values - mean) / deviation, offset, ends, strength)
    kinds = np.ones(len(outside))
    for _ in range(_ROUNDS):
        problem.fit([INSIDE, *(1 - INSIDE) * kinds / kinds.sum()])
        kinds *= np.sqrt(problem.missed(LOST) + 0.02)
    weights = problem.weights.detach().numpy() / deviation
    return Known(weights.astype(np.float32), float(problem.bias.detach()) - float(weights @ mean))


class _Regression:
    """Logistic regression of the first set of rows against the others.

    Args:
        values: float64 (n, features), scaled.
        offset: float64 (n,), initial log odds.
        ends: where each set of rows ends.
        strength: of the penalty.
    """

    def __init__(
        self,
        values: NDArray[np.float64],
        offset: NDArray[np.float64],
        ends: NDArray[np.int64],
        strength: float,
    ) -> None:
        self._values, self._offset = torch.from_numpy(values), torch.from_numpy(offset)
        self._ends, self._strength = ends, strength
        self._sign = torch.where(torch.arange(len(values)) < int(ends[0]), 1.0, -1.0).double()
        self.weights = torch.zeros(values.shape[1], dtype=torch.float64, requires_grad=True)
        self.bias = torch.zeros((), dtype=torch.float64, requires_grad=True)

    def fit(self, shares: Sequence[float]) -> None:
        """Continue from the current state, with a weight for each set."""
        sizes = np.diff(self._ends, prepend=0)
        rows = torch.from_numpy(np.repeat(np.asarray(shares) / sizes, sizes))
        optimizer = torch.optim.LBFGS(
            [self.weights, self.bias], max_iter=_STEPS, line_search_fn="strong_wolfe"
        )

        def loss() -> Tensor:
            optimizer.zero_grad()
            losses = functional.softplus(-self._sign * self._odds())
            total = (rows * losses).sum() + self._strength * (self.weights @ self.weights)
            total.backward()  # type: ignore[no-untyped-call]
            return total

        optimizer.step(loss)  # type: ignore[no-untyped-call]

    def missed(self, lost: float) -> NDArray[np.float64]:
        """Fraction of each other set that would pass if `lost` of the first set were rejected."""
        sets = np.split(self._odds().detach().numpy(), self._ends[:-1])
        limit = np.quantile(sets[0], lost)
        return np.array([(part > limit).mean() for part in sets[1:]])

    def _odds(self) -> Tensor:
        return self._offset + self._values @ self.weights + self.bias


def _last_dense(model: nn.Module, card: ModelCard) -> nn.Linear:
    """The dense layer that computes the model's output."""
    seen: list[tuple[nn.Linear, Tensor]] = []
    handles = [
        module.register_forward_hook(lambda m, _, answer: seen.append((m, answer)))
        for module in model.modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        with torch.inference_mode():
            frames = torch.from_numpy(golden_frames(card.height, card.width)[:1])
            logits = model(input_from_frames(frames, card))
    finally:
        for handle in handles:
            handle.remove()
    for layer, answer in reversed(seen):
        if layer.bias is not None and torch.equal(answer, logits):
            return layer
    raise UserError(
        f"the logits of this {card.architecture} are not computed by a dense layer with a bias, "
        "so its energy cannot be calibrated; expected a network that ends in one"
    )
