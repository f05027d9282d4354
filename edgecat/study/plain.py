"""What several studies are: one plain network, and some ways in which it learns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgecat.models.vgg import VGG
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
from edgecat.study.pictures import Material, PictureStudy


@dataclass(frozen=True, kw_only=True)
class PlainStudy(PictureStudy):
    """A study of how one plain network learns.

    Attributes:
        depth: layers of the network.
        width: channels of its first block.
        epochs: passes over the pictures.
        batch: pictures a step.
        climb: steps of the finder.
        trial: passes with which a rate is tried.
    """

    depth: int = 4
    width: int = 16
    epochs: int = 16
    batch: int = 16
    climb: int = 80
    trial: int = 6

    def network(self, found: Material, *, depth: int = 0, active: str = "relu") -> VGG:
        """The network, or one of another depth, with weights drawn from the current seed."""
        depth = depth or self.depth
        classes = len(found.labels)
        return plain_network(depth, classes, size=self.size, width=self.width, active=active)

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
        """Find an optimiser's rate: the best of some multiples of the finder's suggestion.

        The finder is careful, as a long training wants it; each multiple is tried for some passes
        from the same weights, and the one with the least mean loss in their second half is taken:
        neither too slow nor too wild.

        Args:
            found: to learn from.
            optimizer: by its name in `edgecat.training.optim`.
            batch: pictures a step, if not the study's; all of them for `gd`.
            depth: of the network, if not the study's.
            active: its activation.
            trial: passes, if not the study's.
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
        trial = trial or self.trial
        means = []
        for share in shares:
            with seeded(self.seed) as random:
                model = self.network(found, depth=depth, active=active)
                losses: list[float] = []

                def look(epoch: int, model: VGG = model, losses: list[float] = losses) -> None:
                    if 2 * epoch > trial:
                        losses.append(judged(model, found.training)[0])

                fit(
                    model,
                    found.training,
                    Recipe(optimizer, share * suggestion, batch, trial),
                    random=random,
                    on_epoch=look,
                )
            mean = sum(losses) / len(losses)
            means.append((mean if math.isfinite(mean) else math.inf, share))
        return float(f"{min(means)[1] * suggestion:.2g}")

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
        """Let the network learn; arguments as for `followed`."""
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
