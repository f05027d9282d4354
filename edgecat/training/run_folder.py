"""A run's folder: its files, and who writes them."""

from __future__ import annotations

import errno
import hashlib
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path
from shutil import rmtree
from types import MappingProxyType
from uuid import uuid4

from torch import nn

from edgecat.data.folder import ImageSet
from edgecat.data.stream import ShardSet
from edgecat.models.checkpoint import load_checkpoint, save_checkpoint
from edgecat.report.page import data_url
from edgecat.scores import Evaluation
from edgecat.training import plots
from edgecat.training.config import STATE, TrainConfig
from edgecat.training.history import Epoch, append_metrics, write_metrics
from edgecat.training.learner import Learner
from edgecat.training.state import RunState, load_state, save_state
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.system.atomic import atomic_write, write_error
from edgecat_runtime.system.counting import number_of

CONFIG = "config.json"
METRICS = "metrics.csv"
CURVES = "curves.png"
CONFUSION = "confusion.png"

_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)


@dataclass(frozen=True)
class TrainResult:
    """The result of a run; it stands for its checkpoint wherever a path is expected (`os.fspath`).

    Attributes:
        folder: the run's folder.
        checkpoint: the best epoch's checkpoint.
        best: the best epoch.
        history: every epoch.
        evaluation: of the checkpoint on the validation images.
        skipped: a sentence for each file that is not an image or could not be decoded.

    Example:
        >>> run = edgecat.train("photos/", epochs=12)  # doctest: +SKIP
        >>> run  # doctest: +SKIP
        TrainResult('runs/pets/vgg16.safetensors', 97.20% of 1,425 images, epoch 11 of 12)
    """

    folder: Path
    checkpoint: Path
    best: Epoch
    history: tuple[Epoch, ...]
    evaluation: Evaluation
    skipped: tuple[str, ...]

    def __fspath__(self) -> str:
        return str(self.checkpoint)

    def __repr__(self) -> str:
        score = f"{self.evaluation.accuracy:.2%} of {number_of(self.evaluation.n, 'image')}"
        epoch = f"epoch {self.best.epoch} of {len(self.history)}"
        return f"{type(self).__name__}({str(self.checkpoint)!r}, {score}, {epoch})"

    def _repr_html_(self) -> str:
        curves = self.folder / CURVES
        shown = f'<br><img src="{data_url(curves)}" alt="curves">' if curves.is_file() else ""
        return f"<p>{escape(repr(self))}</p>{shown}"


@dataclass(frozen=True)
class RunFolder:
    """The files of a run; without arguments, of a run that leaves none.

    Attributes:
        path: the folder.
        arch: the architecture, which names the checkpoint.
        writes: False in every process of a run but one, whose writes do nothing.
    """

    path: Path = Path()
    arch: str = ""
    writes: bool = False

    @property
    def checkpoint(self) -> Path:
        """The best epoch's checkpoint."""
        return self.path / f"{self.arch}.safetensors"

    def begin(self, config: TrainConfig, history: Sequence[Epoch]) -> None:
        """Write the configuration and the table of the epochs so far."""
        if self.writes:
            atomic_write(self.path / CONFIG, config.to_json())
            write_metrics(self.path / METRICS, history)

    def save_state(self, state: RunState, learner: Learner) -> None:
        """Write what the next step depends on; raises as `save_state`."""
        if self.writes:
            modules, device = learner.modules, learner.device
            path = self.path / STATE
            save_state(path, state, modules, learner.optimizer, learner.scaler, device=device)

    def load_state(self, learner: Learner, images: str) -> RunState | None:
        """Restore the state of an interrupted run.

        Args:
            learner: gets its weights, optimiser state and random generators back.
            images: digest of the images that were found.

        Returns:
            The progress; None if the run was interrupted before its first state.

        Raises:
            UserError: the run is finished, its state does not fit, or the images are others.
        """
        path = self.path / STATE
        if not path.exists():
            if (self.path / CONFUSION).exists():
                raise UserError(
                    f"{self.path} is finished: there is nothing to resume. Start a new run"
                )
            return None
        modules, device = learner.modules, learner.device
        state = load_state(path, modules, learner.optimizer, learner.scaler, device=device)
        if state.pictures != images:
            raise UserError(
                f"the images are not those that {self.path} was started with; expected the same "
                "files. Put them back, or start a new run"
            )
        return state

    def save_checkpoint(self, model: nn.Module, card: ModelCard) -> None:
        """Write the best checkpoint so far."""
        if self.writes:
            save_checkpoint(self.checkpoint, model, card)

    def append_metrics(self, row: Epoch) -> None:
        """Add an epoch to the table."""
        if self.writes:
            append_metrics(self.path / METRICS, row)

    def load_model(self) -> nn.Module:
        """Read the best checkpoint's model."""
        return load_checkpoint(self.checkpoint)[0]

    def finish(self, history: Sequence[Epoch], evaluation: Evaluation) -> None:
        """Draw the plots and remove the state."""
        plots.draw_curves(history, self.path / CURVES)
        plots.draw_confusion(evaluation, self.path / CONFUSION)
        (self.path / STATE).unlink(missing_ok=True)


def new_run(config: TrainConfig) -> Path:
    """Create the folder of a new run, with its `config.json`, as `new_folder` does.

    Both appear at once: a run that is killed at any moment can be resumed, or has no folder.
    """
    return new_folder(config, {CONFIG: config.to_json()})


def new_folder(config: TrainConfig, files: Mapping[str, str] = MappingProxyType({})) -> Path:
    """Create a folder with the name of a new run; an empty folder of that name is taken.

    Args:
        config: of the run.
        files: texts by file name, which the folder has from the moment it appears.

    Raises:
        UserError: a run of that name exists, or the folder cannot be created.
    """
    name = config.name or f"{config.arch}-{datetime.now():%Y%m%d-%H%M%S}"
    folder = Path(config.output) / name
    started = folder.with_name(f".{name}-{uuid4().hex[:8]}")
    try:
        started.mkdir(parents=True)
        for file, text in files.items():
            atomic_write(started / file, text)
        started.rename(folder)
    except OSError as error:
        if error.errno in _TAKEN and os.path.lexists(folder):
            place = shlex.quote(str(folder))
            raise UserError(
                f"{folder} exists. Choose another --name, or continue it with --resume {place}"
            ) from error
        raise write_error(folder, error) from error
    finally:
        rmtree(started, ignore_errors=True)
    return folder


def read_config(folder: Path) -> TrainConfig:
    """Read the configuration of the run in `folder`.

    Raises:
        UserError: the folder has no run.
    """
    path = folder / CONFIG
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{folder} is not a run of edgecat train: cannot read {CONFIG}. "
            "Give the folder of an interrupted run, such as runs/vgg16-20261123-184500"
        ) from error
    return TrainConfig.from_json(text, str(path))


def digest_of(*parts: ImageSet | ShardSet) -> str:
    """SHA-256 over the names, sizes and labels of images or shards, in order."""
    hashed = hashlib.sha256()
    for part in parts:
        for key in part.keys():  # noqa: SIM118 - not a mapping
            hashed.update(key.encode())
        hashed.update(b"\1")
    return hashed.hexdigest()
