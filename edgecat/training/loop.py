"""`train`: one run, from images to an evaluated checkpoint."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from edgecat.models.devices import selected
from edgecat.training.assembly import prepare
from edgecat.training.config import TrainConfig
from edgecat.training.distributed import joined
from edgecat.training.learner import fastest_convolutions
from edgecat.training.lock import locked
from edgecat.training.run_folder import TrainResult
from edgecat.training.watcher import Watcher


def train(
    config: TrainConfig, *, resume: Path | None = None, watcher: Watcher | None = None
) -> TrainResult:
    """Train a model; its folder gets the checkpoint, `metrics.csv`, plots and `config.json`.

    Args:
        config: what to train, and on what data; for an interrupted run, `read_config(resume)`.
        resume: folder of an interrupted run to continue. On the same CPU, with the same number of
            threads, the weights are bit for bit those of an uninterrupted run.
        watcher: receives the progress.

    Raises:
        UserError: the images, the options or the folder cannot be used, another process trains
            this run, the disk is full, or the loss is no longer finite.
        DeviceError: the device is missing.
        Interrupted: Ctrl-C or SIGTERM; the state is saved. A second one raises KeyboardInterrupt
            at once.
    """
    with joined(config.device) as world, ExitStack() as held:
        reported = watcher if watcher and world.leader else Watcher()
        if resume and world.leader:
            held.enter_context(locked(resume))
        trainer = prepare(config, resume=resume, watcher=reported, world=world)
        if not resume and world.leader:
            held.enter_context(locked(trainer.folder.path))
        device = trainer.learner.device
        with selected(device), fastest_convolutions(device):
            return trainer.fit()
