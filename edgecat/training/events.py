"""A run's course for TensorBoard: event files in its folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from edgecat.training.metrics import Epoch
from edgecat.training.run import Watcher
from edgecat_runtime.errors import BackendMissing

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

    from edgecat.training.job import Job

_EVERY = 50


def writer_class() -> type[SummaryWriter]:
    """Import what writes event files.

    Raises:
        BackendMissing: tensorboardX is not installed.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise BackendMissing(
            "tensorboardX is not installed: pip install 'edgecat[tensorboard]'"
        ) from error
    return cast("type[SummaryWriter]", SummaryWriter)


class EventLog(Watcher):
    """Writes scalars over the steps of a run: the loss every 50 steps, the rest every epoch.

    Made anew when a run is resumed, it withdraws what was written after the state was saved.

    Raises:
        BackendMissing: tensorboardX is not installed.
    """

    def __init__(self, job: Job) -> None:
        self._steps = job.loader.steps
        self._step = job.state.epoch * self._steps + job.state.step
        self._groups = job.optimizer.param_groups
        self._writer = writer_class()(str(job.folder), purge_step=self._step + 1)

    def stepped(self, pictures: int, loss: Callable[[], float]) -> None:
        """Note the epoch's mean loss so far and the learning rate, now and then."""
        self._step += 1
        if self._step % _EVERY == 0:
            self._write({"loss/so_far": loss(), "learning_rate": self._groups[0]["lr"]})

    def epoch_finished(self, row: Epoch, *, best: bool) -> None:
        """Note the epoch's row."""
        self._step = row.epoch * self._steps
        self._write(
            {
                "loss/training": row.train_loss,
                "loss/validation": row.val_loss,
                "accuracy/training": row.train_accuracy,
                "accuracy/validation": row.val_accuracy,
                "learning_rate": row.lr,
                "images_per_second": row.images_per_second,
            }
        )
        self._writer.flush()

    def _write(self, scalars: dict[str, float]) -> None:
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, self._step)
