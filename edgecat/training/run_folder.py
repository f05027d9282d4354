"""A run's folder, who watches it, and how Ctrl-C and SIGTERM end it."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from edgecat.data.folder import PictureSet
from edgecat.data.stream import ShardSet
from edgecat.scores import Evaluation
from edgecat.training.config import TrainConfig
from edgecat.training.history import Epoch
from edgecat_runtime.errors import UserError
from edgecat_runtime.system.atomic import write_error

STATE = "resume.state"
CONFIG = "config.json"
METRICS = "metrics.csv"
CURVES = "curves.png"
CONFUSION = "confusion.png"


@dataclass(frozen=True)
class TrainResult:
    """What a run gave.

    Attributes:
        folder: the run's folder.
        checkpoint: the best epoch's checkpoint.
        best: the best epoch.
        history: every epoch.
        evaluation: the checkpoint's answers to the validation pictures.
        skipped: a sentence for each file that is no picture or could not be decoded.
    """

    folder: Path
    checkpoint: Path
    best: Epoch
    history: tuple[Epoch, ...]
    evaluation: Evaluation
    skipped: tuple[str, ...]


def new_folder(config: TrainConfig) -> Path:
    """Make the folder of a new run.

    Raises:
        UserError: a run of that name exists, or it cannot be made.
    """
    name = config.name or f"{config.arch}-{datetime.now():%Y%m%d-%H%M%S}"
    folder = Path(config.output) / name
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        place = shlex.quote(str(folder))
        raise UserError(
            f"{folder} exists. Choose another --name, or go on with --resume {place}"
        ) from error
    except OSError as error:
        raise write_error(folder, error) from error
    return folder


def read_config(folder: Path) -> TrainConfig:
    """Read the configuration of the run in `folder`.

    Raises:
        UserError: there is no run.
    """
    path = folder / CONFIG
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{folder} is no run of edgecat train: {CONFIG} cannot be read. "
            "Give the folder of an interrupted run, such as runs/vgg16-20261123-184500"
        ) from error
    return TrainConfig.from_json(text, str(path))


def digest_of(*parts: PictureSet | ShardSet) -> str:
    """SHA-256 over the pictures' names, sizes and labels, or the shards', in order."""
    hashed = hashlib.sha256()
    for part in parts:
        for key in part.keys():  # noqa: SIM118 - no mapping
            hashed.update(key.encode())
        hashed.update(b"\1")
    return hashed.hexdigest()
