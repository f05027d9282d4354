"""Event files for TensorBoard in a run's folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgecat.training.history import Epoch
from edgecat.training.watcher import Watcher
from edgecat_runtime.errors import BackendMissing

_EVERY = 50


def require_tensorboard() -> None:
    """Check that event files can be written.

    Raises:
        BackendMissing: tensorboardX is not installed.
    """
    try:
        import tensorboardX  # noqa: F401
    except ImportError as error:
        raise BackendMissing(
            "tensorboardX is not installed: pip install 'edgecat[tensorboard]'"
        ) from error


class EventLog(Watcher):
    """Writes scalars over the steps of a run: the loss every 50 steps, the rest every epoch.

    When a run is resumed, a new log discards what was written after the state was saved. Events
    are in the file at once; tensorboardX's `SummaryWriter` would write from a thread.

    Args:
        folder: of the event files.
        steps: per epoch.
        done: steps done before, over the whole run.
        groups: of the optimiser; the first one's `lr` is logged.

    Raises:
        BackendMissing: tensorboardX is not installed.
    """

    def __init__(
        self, folder: Path, *, steps: int, done: int, groups: Sequence[Mapping[str, Any]]
    ) -> None:
        require_tensorboard()
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import SessionLog

        self._steps, self._step = steps, done
        self._groups = groups
        self._writer = EventsWriter(str(folder), f".{done}")
        self._write(self._step + 1, session_log=SessionLog(status=SessionLog.START))

    def stepped(self, images: int, loss: Callable[[], float]) -> None:
        """Log the epoch's mean loss so far and the learning rate, every 50 steps."""
        self._step += 1
        if self._step % _EVERY == 0:
            self._scalars({"loss/so_far": loss(), "learning_rate": self._groups[0]["lr"]})

    def epoch_finished(self, row: Epoch, *, best: bool) -> None:
        """Log the epoch's row."""
        self._step = row.epoch * self._steps
        self._scalars(
            {
                "loss/training": row.train_loss,
                "loss/validation": row.val_loss,
                "accuracy/training": row.train_accuracy,
                "accuracy/validation": row.val_accuracy,
                "learning_rate": row.lr,
                "images_per_second": row.images_per_second,
            }
        )

    def _scalars(self, scalars: dict[str, float]) -> None:
        from tensorboardX.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        self._write(self._step, summary=Summary(value=values))

    def _write(self, step: int, **content: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        self._writer.write_event(Event(wall_time=time.time(), step=step, **content))
        self._writer.flush()
