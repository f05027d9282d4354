"""`edgecat evaluate ... --on`: the predictions of many workers on labelled images."""

from __future__ import annotations

import numpy as np

from edgecat.data.folder import ImageSet
from edgecat.evaluation.answers import BATCH, Answers
from edgecat.workflows.batch.engine import Plan, classify_items, setup_for
from edgecat.workflows.batch.placement import Workers
from edgecat.workflows.batch.summary import Run
from edgecat.workflows.batch.tasks import Item, Rows
from edgecat.workflows.reporter import Reporter
from edgecat_runtime.classifier import Classifier
from edgecat_runtime.errors import UserError
from edgecat_runtime.system.counting import number_of


def answers_of_workers(
    pictures: ImageSet, classifier: Classifier, workers: Workers, reporter: Reporter
) -> tuple[Answers, Run]:
    """Run a model on every image, as `answers_to` does in one process and in the same batches.

    Args:
        pictures: labelled images.
        classifier: open; workers open the same file with the same backend.
        workers: who classifies.
        reporter: receives progress and warnings.

    Raises:
        UserError: no image could be decoded; the message is that of the first.
    """
    items = [Item(p.name, str(p.path), p.offset, p.size) for p in pictures.pictures]
    plan = Plan.of(items, workers.batch or BATCH)
    found: dict[int, Rows] = {}
    run = classify_items(
        plan,
        setup_for(classifier, plan),
        workers,
        parts=range(plan.parts),
        done=lambda task, rows: found.update({task.part: rows}),
        reporter=reporter,
    )
    parts = [found[part] for part in range(plan.parts)]
    errors = [error for rows in parts for error in rows.errors]
    skipped = tuple(error for error in errors if error is not None)
    if len(skipped) == len(errors):
        first = f": {skipped[0]}" if skipped else ""
        raise UserError(f"none of {number_of(len(errors), 'image')} could be decoded{first}")
    good = np.array([error is None for error in errors])
    answers = Answers(
        pictures.labels,
        tuple(p for p, error in zip(pictures.pictures, errors, strict=True) if error is None),
        np.concatenate([rows.logits for rows in parts])[good],
        classifier.card.temperature,
        classifier.card.energy_limit,
        skipped,
    )
    return answers, run
