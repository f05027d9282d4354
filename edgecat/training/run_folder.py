"""A run's folder, who watches it, and how Ctrl-C and SIGTERM end it."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path

from edgecat.data.folder import PictureSet
from edgecat.data.stream import ShardSet
from edgecat.report.page import data_url
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
    """What a run gave; it stands for its checkpoint wherever a path is expected (`os.fspath`).

    Attributes:
        folder: the run's folder.
        checkpoint: the best epoch's checkpoint.
        best: the best epoch.
        history: every epoch.
        evaluation: the checkpoint's answers to the validation pictures.
        skipped: a sentence for each file that is no picture or could not be decoded.

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
        score = f"{self.evaluation.accuracy:.2%} of {self.evaluation.n:,} images"
        epoch = f"epoch {self.best.epoch} of {len(self.history)}"
        return f"{type(self).__name__}({str(self.checkpoint)!r}, {score}, {epoch})"

    def _repr_html_(self) -> str:
        curves = self.folder / CURVES
        shown = f'<br><img src="{data_url(curves)}" alt="curves">' if curves.is_file() else ""
        return f"<p>{escape(repr(self))}</p>{shown}"


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
