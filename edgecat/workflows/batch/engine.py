"""Classifies a list of images with a pool of workers; `classify` and `evaluate` share it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from edgecat.workflows.batch.coordinator import Coordinator
from edgecat.workflows.batch.placement import Workers
from edgecat.workflows.batch.sources import some_inputs
from edgecat.workflows.batch.summary import Run
from edgecat.workflows.batch.tasks import Item, Rows, Task, images_per_part
from edgecat.workflows.batch.worker import Setup
from edgecat.workflows.reporter import Reporter
from edgecat_runtime.classifier import Classifier
from edgecat_runtime.errors import UserError
from edgecat_runtime.system.hashing import file_sha256


@dataclass(frozen=True)
class Plan:
    """The images, cut into parts.

    Attributes:
        items: all images, in order.
        batch: images per batch.
        size: images per part, a multiple of `batch`.
    """

    items: Sequence[Item]
    batch: int
    size: int

    @classmethod
    def of(cls, items: Sequence[Item], batch: int) -> Plan:
        """Cut the images into parts of a size that follows from their number."""
        return cls(items, batch, images_per_part(len(items), batch))

    @property
    def parts(self) -> int:
        """Number of parts."""
        return -(-len(self.items) // self.size)

    def images_in(self, part: int) -> int:
        """Number of images in a part."""
        return min(self.size, len(self.items) - part * self.size)

    def task(self, part: int) -> Task:
        """One part."""
        return Task(part, tuple(self.items[part * self.size : (part + 1) * self.size]))


def setup_for(classifier: Classifier, plan: Plan, *, own_labels: bool = False) -> Setup:
    """Describe an open classifier, so that workers open the same one.

    Args:
        classifier: opened from a file.
        plan: the images.
        own_labels: whether its labels are not those of the file.
    """
    return Setup(
        model=str(_file(classifier).absolute()),
        sha256=model_sha256(classifier),
        backend=classifier.backend,
        device=classifier.device,
        batch=plan.batch,
        labels=tuple(classifier.labels) if own_labels else None,
        inputs=some_inputs(plan.items),
    )


def classify_items(
    plan: Plan,
    setup: Setup,
    workers: Workers,
    *,
    parts: Sequence[int],
    done: Callable[[Task, Rows], None],
    reporter: Reporter,
) -> Run:
    """Classify parts of a plan.

    Args:
        plan: the images.
        setup: how workers open the model.
        workers: who classifies.
        parts: which parts; those missing here were done before.
        done: called with each part and its rows as soon as they are there, in any order.
        reporter: receives progress and warnings.

    Raises:
        EdgecatError: no worker can be started, or they end one after another.
    """
    images = sum(map(plan.images_in, parts))
    if not images:
        return Run(0, "", plan.batch, 0, 0.0, 0)
    with (
        workers.started(setup, reporter) as pool,
        reporter.progress(len(plan.items), "classifying") as advance,
    ):
        advance(len(plan.items) - images)

        def finished(task: Task, rows: Rows) -> None:
            done(task, rows)
            advance(len(task.items))

        coordinator = Coordinator(pool, map(plan.task, parts), finished, reporter.warn)
        coordinator.run()
        seconds = perf_counter() - coordinator.begun
        return Run(pool.size, pool.kinds, plan.batch, images, seconds, coordinator.lost)


def model_sha256(classifier: Classifier) -> str:
    """Return the SHA-256 of the file that a classifier was opened from."""
    return file_sha256(_file(classifier))


def _file(classifier: Classifier) -> Path:
    if classifier.path is None:
        raise UserError("workers need a model file; this classifier was not opened from one")
    return classifier.path
