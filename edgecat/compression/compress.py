"""Compress a checkpoint: prune, fine-tune, and write it only if it is accurate enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from edgecat.compression.prune import parameters, pruned
from edgecat.compression.tuning import fine_tuned, resumable
from edgecat.data.batches import served_batches
from edgecat.data.folder import ImageSet, scan, split
from edgecat.models.backend import TorchBackend
from edgecat.models.checkpoint import load_checkpoint, save_checkpoint
from edgecat.models.cost import cost_of
from edgecat.scores import evaluate
from edgecat.training.config import TrainConfig
from edgecat.training.watcher import Watcher
from edgecat_runtime.errors import GateError, UserError
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.preprocess import preprocess
from edgecat_runtime.system.machine import cores


@dataclass(frozen=True)
class Figures:
    """Cost and accuracy of a network.

    Attributes:
        parameters: number of weights, biases and norm parameters.
        macs: multiply-adds per frame.
        accuracy: fraction of correct predictions on the validation images; None: not measured.
    """

    parameters: int
    macs: int
    accuracy: float | None = None


@dataclass(frozen=True)
class Compressed:
    """The result of a compression.

    Attributes:
        output: the smaller checkpoint.
        layers: its layer widths.
        before: figures of the given network.
        after: figures of the smaller network.
        n: number of validation images.
    """

    output: Path
    layers: tuple[int | str, ...]
    before: Figures
    after: Figures
    n: int = 0

    def plain(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return {**asdict(self), "output": str(self.output), "layers": list(self.layers)}


def compress(
    checkpoint: Path,
    output: Path,
    *,
    keep: float,
    recipe: TrainConfig | None = None,
    max_loss: float = 1.0,
    resume: bool = False,
    watcher: Watcher | None = None,
    on_batch: Callable[[int], None] = lambda pictures: None,
) -> Compressed:
    """Prune a checkpoint, fine-tune the result, and write it.

    Args:
        checkpoint: a VGG's.
        output: the file to write.
        keep: fraction of the channels to keep.
        recipe: configuration of the fine-tuning and its data; the network, its weights and the
            run's folder are filled in. None: prune only.
        max_loss: maximum accuracy loss on the validation images, in points.
        resume: continue the interrupted fine-tuning for `output`; the rest is given as before.
        watcher: receives the progress of the fine-tuning.
        on_batch: called with the number of images evaluated, before the fine-tuning.

    Raises:
        UserError: not a VGG checkpoint, the images cannot be used, or an interrupted fine-tuning
            is there and `resume` is not given, or the other way round.
        GateError: it loses more than `max_loss`; nothing is written.
        KeyboardInterrupt: Ctrl-C; `output` is not written, and the fine-tuning can be resumed.
    """
    model, card = load_checkpoint(checkpoint)
    small, its = pruned(model, card, keep)
    before, after = _figures(model, card), _figures(small, its)
    if recipe is None:
        if resume:
            raise UserError("--resume continues a fine-tuning; give the images that it used")
        save_checkpoint(output, small, its)
        return Compressed(output, its.layers, before, after)
    with resumable(output.with_suffix(".tuning"), resume=resume) as folder:
        validation = _validation(recipe, card, checkpoint)
        before = replace(before, accuracy=_accuracy(model, card, validation, on_batch))
        tuned, its = fine_tuned(small, its, recipe, folder, watcher)
        after = replace(after, accuracy=its.accuracy)
        check_loss(before.accuracy or 0, its.accuracy or 0, max_loss)
        save_checkpoint(output, tuned, its)
    return Compressed(output, its.layers, before, after, its.accuracy_n)


def _figures(model: nn.Module, card: ModelCard) -> Figures:
    cost = cost_of(card)
    return Figures(parameters(model), cost.macs if cost else 0)


def _validation(recipe: TrainConfig, card: ModelCard, checkpoint: Path) -> ImageSet:
    """The validation images of the trainer."""
    training, validation = split(
        scan(recipe.data), val=recipe.val, seed=recipe.seed, version=recipe.version
    )
    if training.labels != card.labels:
        raise UserError(
            f"{checkpoint} has the classes {', '.join(card.labels)}; the images show "
            f"{', '.join(training.labels)}. Use images with the same labels"
        )
    return validation


def _accuracy(
    model: nn.Module, card: ModelCard, pictures: ImageSet, on_batch: Callable[[int], None]
) -> float:
    batches = served_batches(
        pictures,
        partial(preprocess, height=card.height, width=card.width, fit=card.fit),
        batch_size=64,
        workers=cores(),
    )
    backend = TorchBackend(model, card)
    return evaluate(backend.infer, batches, card.labels, on_batch=on_batch).accuracy


def check_loss(before: float, after: float, max_loss: float) -> None:
    """Reject a network that lost too much accuracy.

    Args:
        before: accuracy in 0..1.
        after: accuracy in 0..1.
        max_loss: points of accuracy.

    Raises:
        GateError: it lost more than `max_loss` points.
    """
    lost = 100 * (before - after)
    if lost > max_loss:
        raise GateError(
            f"the smaller network loses {lost:.2f} points of accuracy ({before:.2%} before, "
            f"{after:.2%} after); expected at most {max_loss:g}. Nothing is written. Keep more "
            "channels, train for more --epochs, or allow more with --max-loss"
        )
