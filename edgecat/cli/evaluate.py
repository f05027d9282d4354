"""`edgecat evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgecat.cli.options.common import Backend, Json, ModelToo, Verbose, split_model
from edgecat.cli.options.workers import On, WorkerCount, workers_given

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgecat.workflows.evaluate import CalibrationResult, EvaluationResult

_MATRIX_CLASSES = 10  # a wider matrix does not fit on a terminal


def evaluate(
    context: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="MODEL DATA",
            help="A checkpoint or an exported model (default: the newest run's, else the bundled "
            "one), and folders of class folders, or .tar files with the same layout.",
            show_default=False,
        ),
    ] = None,
    engine: ModelToo = None,
    calibrate: Annotated[
        list[Path] | None,
        typer.Option(
            help="Calibrate the checkpoint's temperature, and the energy above which a prediction "
            "is unsure, on these images, or on those of the training run in this folder.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Calibrated checkpoint to write (default: overwrite the given one).",
            show_default=False,
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Write an HTML page with curves, robustness and the most confident mistakes.",
            show_default=False,
        ),
    ] = None,
    backend: Backend = "auto",
    threads: Annotated[
        int | None, typer.Option(help="Number of CPU threads (default: chosen by the backend).")
    ] = None,
    on: On = None,
    workers: WorkerCount = None,
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Evaluate a model on labelled images: accuracy, calibration and robustness.

    If the data has a test/ folder, only its images are used.

    Example: `edgecat evaluate runs/pets/vgg16.onnx photos/ --report evaluation.html`
    """
    from edgecat.cli.terminal.console import TERMINAL, print_json, say
    from edgecat.workflows import evaluate as workflow

    model, data = split_model(paths, engine)
    _check_request(context, data, calibrate, output, report)
    if (on or workers) and not data:
        context.fail("--on and --workers need labelled images; give them after the model")
    figures: dict[str, Any] = {}
    if calibrate:
        calibrated = workflow.calibrate(model, calibrate, output=output, reporter=TERMINAL)
        figures["calibration"] = calibrated.to_dict()
        if not json:
            _show_calibration(calibrated)
    if data:
        served = output if calibrate and output else model
        evaluated = workflow.evaluate(
            served,
            data,
            backend=backend,
            threads=threads,
            page=report,
            workers=workers_given(on, workers) if on or workers else None,
            verbose=verbose,
            reporter=TERMINAL,
        )
        figures |= evaluated.to_dict()
        if not json:
            _show(evaluated)
            say(str(evaluated.run)) if evaluated.run else None
            say(f"report: {report}") if report else None
    if json:
        print_json(figures)


def _check_request(
    context: typer.Context,
    data: Sequence[Path] | None,
    calibrate: Sequence[Path] | None,
    output: Path | None,
    report: Path | None,
) -> None:
    """Reject incompatible options before any long work starts."""
    from edgecat_runtime.errors import UserError

    if not data and not calibrate:
        context.fail(
            "no images given. Give folders of class folders or .tar files: edgecat evaluate "
            "MODEL photos/"
        )
    if report and not data:
        raise UserError("--report needs labelled images; give them after the model")
    if output and not calibrate:
        raise UserError("--output is the output of --calibrate; add --calibrate DATA")


def _show(evaluated: EvaluationResult) -> None:
    from edgecat.cli.terminal.console import say, table

    answers, name = evaluated.answers, f"{evaluated.model} on {evaluated.backend}"
    counted = answers.evaluation
    labels = counted.labels
    if len(labels) > _MATRIX_CLASSES:
        _show_worst(labels, counted.confusion)
    else:
        rows = [
            [label, str(sum(row)), _share(row[i], sum(row)), *map(str, row)]
            for i, (label, row) in enumerate(zip(labels, counted.confusion.tolist(), strict=True))
        ]
        table(["actual", "n", "correct", *(f"predicted {label}" for label in labels)], rows)
    say()
    low, high = answers.interval
    curves = answers.rocs()
    areas = ", ".join(f"{label} {curve.auc:.4f}" for label, curve in curves.items())
    if len(curves) > _MATRIX_CLASSES:
        areas = f"{sum(curve.auc for curve in curves.values()) / len(curves):.4f} on average"
    say(
        f"{name}: {counted.accuracy:.2%} of {counted.n:,} image{'s' * (counted.n != 1)} "
        f"(95 % confidence: {low:.2%} to {high:.2%}), loss {counted.loss:.4f}"
    )
    say(f"calibration error {answers.ece():.2%}" + (f"; area under ROC: {areas}" if areas else ""))
    if answers.energy_limit is not None:
        say(f"coverage {answers.answered:.2%}, the rest is unsure")


def _show_worst(labels: Sequence[str], confusion: NDArray[np.int64]) -> None:
    """The classes with the lowest recall, each with the class it is most often confused with.

    Args:
        labels: of n classes.
        confusion: counts (n, n), the true class first.
    """
    from edgecat.cli.terminal.console import say, table

    totals = confusion.sum(1)
    rates = confusion.diagonal() / totals.clip(1)
    order = sorted(range(len(labels)), key=lambda i: (totals[i] == 0, rates[i]))[:_MATRIX_CLASSES]
    rows = []
    for i in order:
        others = confusion[i].copy()
        others[i] = 0
        taken = f"{labels[others.argmax()]} ({others.max()})" if others.any() else "-"
        right = _share(int(confusion[i, i]), int(totals[i]))
        rows.append([labels[i], str(totals[i]), right, taken])
    table(["actual", "n", "correct", "most often predicted as"], rows)
    if len(labels) > len(order):
        say(f"The {len(order)} weakest of {len(labels)} classes; --json has the whole matrix.")


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "-"


def _show_calibration(calibrated: CalibrationResult) -> None:
    from edgecat.cli.terminal.console import say, table
    from edgecat.evaluation.temperature_and_limit import FEW_PHOTOGRAPHS

    found = calibrated.found
    rows = [
        [kind, f"{found.plain[kind]:.1%}", f"{share:.1%}", f"{found.unseen[kind]:.1%}"]
        for kind, share in found.unsure.items()
    ]
    table(["unsure", "plain energy", "fitted energy", "kind left out of the fit"], rows)
    say()
    say(
        f"temperature {found.temperature:.3f}: loss {found.loss[0]:.4f} -> {found.loss[1]:.4f}, "
        f"calibration error {found.ece[0]:.2%} -> {found.ece[1]:.2%}"
    )
    say(
        f"energy limit {found.energy_limit:.3f}: {found.answered:.2%} of {found.n:,} validation "
        f"photographs are within it; fitted on {found.fitted:,} others"
    )
    if found.n < FEW_PHOTOGRAPHS:
        say(
            f"{found.n} photographs are few: the limit lies half-way to the drawn frames; "
            f"{FEW_PHOTOGRAPHS} or more photographs set it well"
        )
    say(f"{calibrated.checkpoint} is calibrated; export it again to update existing exports")
