"""The base of several studies: one plain network, trained in different ways."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from edgecat.study.frame import Advance
from edgecat.study.learning import (
    History,
    Recipe,
    climbed,
    fit,
    followed,
    judged,
    plain_network,
    seeded,
)
from edgecat.study.material import ImageStudy, Material

NORM = "+norm"


@dataclass(frozen=True, kw_only=True)
class PlainStudy(ImageStudy):
    """A study of how one plain network trains.

    Attributes:
        depth: number of layers of the network.
        width: channels of the first block.
        epochs: number of epochs.
        batch: batch size.
        climb: steps of the learning-rate finder.
        trial: epochs per rate tried.
    """

    depth: int = 4
    width: int = 16
    epochs: int = 16
    batch: int = 16
    climb: int = 80
    trial: int = 6

    def network(self, found: Material, *, depth: int = 0, active: str = "relu") -> nn.Module:
        """Build the network, or one of another depth, with weights from the current seed.

        Args:
            found: the images, for the number of classes.
            depth: number of layers, if not the study's.
            active: activation; followed by `NORM`, with batch norm.
        """
        return plain_network(
            depth or self.depth,
            len(found.labels),
            size=self.size,
            width=self.width,
            active=active.removesuffix(NORM),
            batch_norm=active.endswith(NORM),
        )

    def tuned(
        self,
        found: Material,
        optimizer: str,
        *,
        batch: int = 0,
        depth: int = 0,
        active: str = "relu",
        trial: int = 0,
        shares: Sequence[float] = (1, 3, 10),
    ) -> float:
        """Find an optimiser's learning rate: the best of some multiples of the finder's suggestion.

        The finder is conservative, for long training; each multiple is tried for some epochs, and
        the best is neither too slow nor unstable.

        Args:
            found: the training images.
            optimizer: optimiser, by its name in `edgecat.training.optim`.
            batch: batch size, if not the study's; the full batch for `gd`.
            depth: of the network, if not the study's.
            active: activation of the network.
            trial: epochs, if not the study's.
            shares: the multiples.
        """
        batch = batch or self.batch
        full = optimizer == "gd"
        with seeded(self.seed) as random:
            suggestion = climbed(
                self.network(found, depth=depth, active=active),
                found.training,
                optimizer=optimizer,
                batch=batch,
                random=random,
                steps=self.climb // 2 if full else self.climb,
                reach=(0.03, 100) if full else (1e-3, 1e2),
            ).suggestion
        rates = [share * suggestion for share in shares]
        return self.best_of(
            rates, found, optimizer, batch=batch, depth=depth, active=active, trial=trial
        )

    def best_of(
        self,
        rates: Sequence[float],
        found: Material,
        optimizer: str,
        *,
        batch: int = 0,
        depth: int = 0,
        active: str = "relu",
        trial: int = 0,
    ) -> float:
        """Try rates from the same weights; return the one with the lowest mean loss.

        The mean is over the second half of the trial's epochs; arguments as for `tuned`.
        """
        batch = batch or self.batch
        trial = trial or self.trial
        means = []
        for rate in rates:
            with seeded(self.seed) as random:
                model = self.network(found, depth=depth, active=active)
                losses: list[float] = []

                def look(
                    epoch: int, model: nn.Module = model, losses: list[float] = losses
                ) -> None:
                    if 2 * epoch > trial:
                        losses.append(judged(model, found.training)[0])

                fit(
                    model,
                    found.training,
                    Recipe(optimizer, rate, batch, trial),
                    random=random,
                    on_epoch=look,
                )
            mean = sum(losses) / len(losses)
            means.append((mean if math.isfinite(mean) else math.inf, rate))
        return float(f"{min(means)[1]:.2g}")

    def history(
        self,
        found: Material,
        key: str,
        *,
        seed: int,
        optimizer: str,
        rate: float,
        advance: Advance,
    ) -> History:
        """Train the network; arguments as for `followed`."""
        with seeded(seed) as random:
            return followed(
                self.network(found),
                found,
                Recipe(optimizer, rate, self.batch, self.epochs),
                key=key,
                seed=seed,
                random=random,
                advance=advance,
            )
