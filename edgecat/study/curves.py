"""Panels and tables of training histories, shared by several studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgecat.study.frame import Table
from edgecat.study.learning import History
from edgecat.study.plots import Panel, band
from edgecat.study.words import tr

_COLUMNS = ("training_loss", "training_accuracy", "validation_loss", "validation_accuracy")


def by_pass(
    runs: Sequence[History],
    what: str,
    title: str,
    colours: Mapping[str, str],
    *,
    legend: str,
    names: Mapping[str, str] | None = None,
) -> Panel:
    """Plot one column of the histories per epoch, one line per key.

    Args:
        runs: the histories.
        what: `training_loss`, `training_accuracy`, `validation_loss` or `validation_accuracy`.
        title: of the panel.
        colours: by key, in legend order.
        legend: as for `Panel`.
        names: legend entries by key; by default the keys.
    """
    lines = []
    for key, colour in colours.items():
        values = [getattr(run, what) for run in runs if run.key == key]
        lines.append(band((names or {}).get(key, key), range(len(values[0])), values, colour))
    up = tr("accuracy") if what.endswith("accuracy") else tr("loss in nats")
    return Panel(title, tr("epoch"), up, lines, legend=legend)


def at_the_end(runs: Sequence[History], key: str, what: str) -> float:
    """Return the mean over the seeds of a column's last value."""
    return float(np.mean([getattr(run, what)[-1] for run in runs if run.key == key]))


def history_table(runs: Sequence[History], name: str) -> Table:
    """Return one row per epoch of every run; `name` is the header of the keys."""
    rows = tuple(
        (run.key, run.seed, epoch, *values)
        for run in runs
        for epoch, values in enumerate(
            zip(*(getattr(run, column) for column in _COLUMNS), strict=True)
        )
    )
    return Table((name, "seed", "epoch", *_COLUMNS), rows)
