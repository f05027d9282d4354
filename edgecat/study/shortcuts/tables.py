"""The figures for CSV files."""

from __future__ import annotations

from collections.abc import Sequence

from edgecat.study.frame import Table
from edgecat.study.shortcuts.measured import Course, Flow


def flows_table(flows: Sequence[Flow], courses: Sequence[Course]) -> Table:
    """Return one row per layer, before and after training."""
    rows = [(f.key, f.depth, f.seed, "before", f.outputs) for f in flows]
    rows += [(c.history.key, c.depth, c.history.seed, "after", c.outputs) for c in courses]
    return Table(
        ("network", "depth", "seed", "training", "layer", "output_gradient"),
        tuple(
            (key, depth, seed, when, layer, norm)
            for key, depth, seed, when, norms in rows
            for layer, norm in enumerate(norms, 1)
        ),
    )


def courses_table(courses: Sequence[Course]) -> Table:
    """Return one row per epoch of every run."""
    columns = ("training_loss", "training_accuracy", "validation_loss", "validation_accuracy")
    rows = tuple(
        (c.history.key, c.depth, c.history.seed, c.rate, epoch, *values)
        for c in courses
        for epoch, values in enumerate(
            zip(*(getattr(c.history, column) for column in columns), strict=True)
        )
    )
    return Table(("network", "depth", "seed", "rate", "epoch", *columns), rows)
