"""What a run starts from where nobody chose, and what a small data set should be warned of."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from edgecat.data.folder import scan, split
from edgecat.models.weights import NONE, SHIPPED
from edgecat.pretrained import CHECKPOINT
from edgecat.training.config import TrainConfig
from edgecat_runtime.model.artifact import read_card
from edgecat_runtime.system.counting import number_of

FEW = 500
"""Training images per class, on average, below which the bundled weights are a better start."""
LEAST = 100
"""Training images of a class below which a warning says that they are few."""
UNEVEN = 10
"""Ratio of the largest to the smallest class from which on a warning says so."""

_NETWORK = frozenset(
    "arch size progressive width head batch_norm dropout activation teacher stream weights".split()
)
_UPDATES = 8
_BATCHES = (8, 64)


def suited(config: TrainConfig, chosen: Collection[str]) -> tuple[TrainConfig, str]:
    """Complete a new run's configuration where nobody chose.

    A network that is trained from random weights on few images stays at chance. So with fewer than
    `FEW` images a class, the run starts from the bundled weights, unless the network or its weights
    were chosen, or the classes are those that the bundled model knows. From the bundled weights,
    the input has the size that they were trained at, a batch is about an eighth of the images, and
    the learning rate is scaled with the batch; each unless chosen.

    Args:
        config: of a new run, its options or their defaults.
        chosen: names of the options that were given.

    Returns:
        The configuration, and a sentence that says what was decided; empty if nothing was.

    Raises:
        UserError: the images cannot be used.
    """
    if config.weights == NONE:
        return replace(config, weights=""), ""
    if config.weights not in ("", SHIPPED) or (not config.weights and _NETWORK & set(chosen)):
        return config, ""
    card = read_card(CHECKPOINT)
    changes: dict[str, Any] = {} if "size" in chosen else {"size": card.height}
    if config.stream:
        return replace(config, **changes), ""
    pictures = scan(config.data)
    training, _ = split(pictures, val=config.val, seed=config.seed, version=config.version)
    count, classes = len(training), len(training.labels)
    if not config.weights and (count >= FEW * classes or _same(training.labels, card.labels)):
        return config, ""
    least, most = _BATCHES
    if "batch_size" not in chosen:
        changes["batch_size"] = min(most, max(least, count // _UPDATES))
    if "lr" not in chosen:  # scaled with the batch: Goyal et al., 2017, arXiv 1706.02677
        batch = changes.get("batch_size", config.batch_size)
        changes["lr"] = round(config.peak_rate * batch / most, 6) if batch < most else config.lr
    made = replace(config, weights=SHIPPED, **changes)
    if config.weights:
        return made, ""
    return made, (
        f"{number_of(count, 'training image')} of "
        f"{number_of(classes, 'class', 'classes')} are few: starting from the shipped "
        f"weights, at {made.size} pixels, in batches of {made.batch_size}. To start from random "
        "weights instead: --weights none"
    )


def cautions(counts: Mapping[str, int]) -> tuple[str, ...]:
    """Warn of classes with few images, and of very uneven ones.

    Args:
        counts: training images by class, one or more each.
    """
    few = [label for label in counts if counts[label] < LEAST]
    found = []
    if few:
        listed = ", ".join(f"{counts[label]} of {label}" for label in few[:4])
        more = f" and {len(few) - 4} more classes" if len(few) > 4 else ""
        found.append(
            f"few training images: {listed}{more}; below {LEAST} a class, expect the result to "
            "depend on which ones they are. Add images if you can"
        )
    most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    if counts[most] >= UNEVEN * counts[least]:
        found.append(
            f"uneven classes: {counts[most]:,} training images of {most}, {counts[least]:,} of "
            f"{least}; the model will lean towards {most}. Add images of {least}"
        )
    return tuple(found)


def _same(labels: Collection[str], others: Collection[str]) -> bool:
    return {label.casefold() for label in labels} == {label.casefold() for label in others}
