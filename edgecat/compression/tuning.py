"""Fine-tune a pruned network in a folder of its own, where an interruption can be resumed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import rmtree

import torch
from torch import nn

from edgecat.models.checkpoint import load_checkpoint, save_checkpoint
from edgecat.training.config import STATE, TrainConfig
from edgecat.training.loop import train
from edgecat.training.run_folder import CONFIG, CONFUSION, RunFolder, read_config
from edgecat.training.watcher import Watcher
from edgecat_runtime.errors import GateError, UserError
from edgecat_runtime.model.card import ModelCard

_RUN, _START = "run", "pruned.safetensors"
_ASKED = ("data", "epochs", "lr", "batch_size", "val", "seed")


@contextmanager
def resumable(folder: Path, *, resume: bool) -> Iterator[Path]:
    """Lend the folder of a fine-tuning, and remove it unless the fine-tuning can be resumed.

    Args:
        folder: beside the file to write; it is created when needed.
        resume: whether it is there already.

    Raises:
        UserError: it is there without `resume`, or missing with it.
    """
    if resume and not folder.is_dir():
        raise UserError(
            f"there is nothing to resume: {folder} does not exist. Leave out --resume, or give the "
            "--output of the interrupted command"
        )
    if not resume and folder.exists():
        raise UserError(
            f"{folder} holds an interrupted fine-tuning. Continue it with --resume, or delete it"
        )
    try:
        yield folder
    except Exception as error:
        if isinstance(error, GateError) or not (folder / _RUN / STATE).exists():
            rmtree(folder, ignore_errors=True)
        raise
    rmtree(folder, ignore_errors=True)


def fine_tuned(
    small: nn.Module, card: ModelCard, recipe: TrainConfig, folder: Path, watcher: Watcher | None
) -> tuple[nn.Module, ModelCard]:
    """Fine-tune, or go on where an interruption left off.

    Args:
        small: the pruned network.
        card: its card.
        recipe: configuration; the network, its weights and the run's folder are filled in.
        folder: from `resumable`.
        watcher: receives the progress.

    Returns:
        The network and its card, which records the accuracy of the best epoch.

    Raises:
        UserError: the images cannot be used, or the interrupted fine-tuning was another one.
    """
    start, run = folder / _START, folder / _RUN
    config = replace(
        recipe,
        weights=str(start),
        arch=card.architecture,
        size=card.height,
        fit=card.fit,
        dropout=card.dropout,
        name=_RUN,
        output=str(folder),
    )
    if not (run / CONFIG).is_file():
        save_checkpoint(start, small, card)
        return load_checkpoint(train(config, watcher=watcher).checkpoint)
    started = read_config(run)
    _check_same(small, load_checkpoint(start)[0], folder)
    _check_options(config, started, folder)
    if (run / STATE).exists() or not (run / CONFUSION).exists():
        train(started, resume=run, watcher=watcher)
    return load_checkpoint(RunFolder(run, started.arch).checkpoint)


def _check_same(small: nn.Module, started: nn.Module, folder: Path) -> None:
    one, other = small.state_dict(), started.state_dict()
    if one.keys() != other.keys() or not all(torch.equal(one[name], other[name]) for name in one):
        raise UserError(
            f"{folder} was started with another checkpoint or --keep; expected the same. Repeat "
            "the interrupted command with --resume, or delete the folder"
        )


def _check_options(config: TrainConfig, started: TrainConfig, folder: Path) -> None:
    config = replace(config, data=tuple(str(Path(path).absolute()) for path in config.data))
    for name in _ASKED:
        before, now = getattr(started, name), getattr(config, name)
        if before != now:
            raise UserError(
                f"{folder} was started with {name} {before}, now it is {now}; expected the same. "
                "Repeat the interrupted command with --resume, or delete the folder"
            )
