"""A run's plots: learning curves, confusion matrix and learning-rate sweep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgecat.report.charts import COLOURS
from edgecat.scores import Evaluation
from edgecat.training.history import Epoch
from edgecat.training.plot_names import plot_names
from edgecat_runtime.errors import BackendMissing
from edgecat_runtime.system.atomic import atomic_path
from edgecat_runtime.system.counting import number_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE, _ORANGE, _GREY = COLOURS[0], COLOURS[1], COLOURS[7]
_DASHED = "--"  # the second line of a plot, which differs in more than its colour


def draw_curves(history: Sequence[Epoch], path: Path) -> None:
    """Draw loss and accuracy over the epochs as a PNG.

    Args:
        history: the epochs of a run.
        path: the file.

    Raises:
        BackendMissing: matplotlib is not installed.
        UserError: the file cannot be written.
    """
    figure = _figure(9, 3.8)
    loss, accuracy = figure.subplots(1, 2)
    epochs = [row.epoch for row in history]
    best = max(history, key=lambda row: (row.val_accuracy, -row.val_loss))
    loss.plot(epochs, [r.train_loss for r in history], _BLUE, marker=".", label="training")
    loss.plot(
        epochs, [r.val_loss for r in history], _ORANGE, ls=_DASHED, marker=".", label="validation"
    )
    accuracy.plot(epochs, [100 * r.train_accuracy for r in history], _BLUE, marker=".")
    accuracy.plot(epochs, [100 * r.val_accuracy for r in history], _ORANGE, ls=_DASHED, marker=".")
    accuracy.axvline(best.epoch, color=_GREY, linewidth=1, linestyle=":")
    _dress(loss, "Loss", "nats")
    _dress(accuracy, f"Accuracy: best {best.val_accuracy:.1%}, epoch {best.epoch}", "%")
    loss.legend(frameon=False)
    _save(figure, path)


def draw_confusion(evaluation: Evaluation, path: Path) -> None:
    """Draw the confusion matrix as a PNG: rows are true classes, shaded by fractions of each row.

    Args:
        evaluation: the counted predictions.
        path: the file.

    Raises:
        BackendMissing: matplotlib is not installed.
        UserError: the file cannot be written.
    """
    counts = evaluation.confusion
    classes = len(evaluation.labels)
    figure = _figure(2.4 + 0.7 * min(classes, 20), 2.0 + 0.7 * min(classes, 20))
    axes = figure.subplots()
    shares = counts / counts.sum(1, keepdims=True).clip(1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = plot_names(evaluation.labels)
    turn, families = 0 if classes < 5 else 90, list(names.families)
    axes.set_xticks(range(classes), names.texts, rotation=turn, fontfamily=families)
    axes.set_yticks(range(classes), names.texts, fontfamily=families)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"{evaluation.accuracy:.2%} of {number_of(evaluation.n, 'image')}", fontsize=11)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if classes <= 20:
        for row, column in [(r, c) for r in range(classes) for c in range(classes)]:
            colour = "white" if shares[row, column] > 0.5 else "#333333"
            text = f"{counts[row, column]:,}"
            axes.text(column, row, text, ha="center", va="center", color=colour)
    _save(figure, path)


def draw_rates(
    rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    suggestion: float,
    path: Path,
) -> None:
    """Draw the loss over a rising learning rate as a PNG.

    Args:
        rates: rising.
        losses: at each learning rate.
        smoothed: their moving average.
        suggestion: the learning rate to mark.
        path: the file.

    Raises:
        BackendMissing: matplotlib is not installed.
        UserError: the file cannot be written.
    """
    figure = _figure(6.4, 3.8)
    axes = figure.subplots()
    axes.plot(rates, losses, _GREY, linewidth=0.8, alpha=0.6, label="each update")
    axes.plot(rates, smoothed, _BLUE, label="smoothed")
    axes.axvline(suggestion, color=_ORANGE, linewidth=1, linestyle=":")
    axes.set_xscale("log")
    least = min(smoothed)
    fall = max(smoothed[0] - least, 0.01)
    axes.set_ylim(least - 0.2 * fall, least + 1.6 * fall)
    axes.set_title(f"Loss: suggested learning rate {suggestion:g}", fontsize=11, loc="left")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("nats")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BackendMissing("matplotlib is not installed: pip install 'edgecat[train]'") from error
    return Figure(figsize=(width, height), layout="constrained", dpi=130)


def _dress(axes: Axes, title: str, unit: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title, fontsize=11, loc="left")
    axes.set_xlabel("epoch")
    axes.set_ylabel(unit)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure: Figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
