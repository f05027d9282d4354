"""`edgecat evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgecat.cli.options.common import Backend, Json, Verbose

if TYPE_CHECKING:
    from edgecat.workflows.evaluate import CalibrationResult, EvaluationResult


def evaluate(
    model: Annotated[Path, typer.Argument(help="A checkpoint or an exported model.")],
    data: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of class folders, or .tar files with the same."),
    ] = None,
    calibrate: Annotated[
        list[Path] | None,
        typer.Option(
            help="Photographs, or a training run's folder for its own: set the checkpoint's "
            "temperature and the energy above which it answers unsure.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Of --calibrate; default: the checkpoint itself.", show_default=False),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Write a page with curves, robustness and the worst mistakes.", show_default=False
        ),
    ] = None,
    backend: Backend = "auto",
    threads: Annotated[int | None, typer.Option(help="Of the CPU; default: the backend's.")] = None,
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Say how good a model is on labelled pictures, and how far it can be believed.

    Where the data has a test/ folder, only its pictures count.

    Example: `edgecat evaluate runs/pets/vgg16.onnx photos/ --report evaluation.html`
    """
    from edgecat.cli.terminal.console import TERMINAL, print_json, say
    from edgecat.workflows import evaluate as workflow

    _check_request(model, data, calibrate, output, report)
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
            verbose=verbose,
            reporter=TERMINAL,
        )
        figures |= evaluated.to_dict()
        if not json:
            _show(evaluated)
            say(f"{report} shows it") if report else None
    if json:
        print_json(figures)


def _check_request(
    model: Path,
    data: Sequence[Path] | None,
    calibrate: Sequence[Path] | None,
    output: Path | None,
    report: Path | None,
) -> None:
    """Refuse what does not go together, before anything takes time."""
    from edgecat_runtime.errors import UserError

    if not data and not calibrate:
        raise UserError(
            "no pictures named. Give folders of class folders or .tar files: edgecat evaluate "
            f"{model} photos/"
        )
    if report and not data:
        raise UserError("--report needs labelled pictures to report on; name them after the model")
    if output and not calibrate:
        raise UserError("--output is where --calibrate writes; give --calibrate DATA with it")


def _show(evaluated: EvaluationResult) -> None:
    from edgecat.cli.terminal.console import say, table

    answers, name = evaluated.answers, f"{evaluated.model} on {evaluated.backend}"
    counted = answers.evaluation
    labels = counted.labels
    rows = []
    for i, (label, row) in enumerate(zip(labels, counted.confusion.tolist(), strict=True)):
        share = f"{row[i] / sum(row):.2%}" if sum(row) else "-"
        rows.append([label, str(sum(row)), share, *map(str, row)])
    table(["shown", "n", "right", *(f"said {label}" for label in labels)], rows)
    say()
    low, high = answers.interval
    areas = ", ".join(f"{label} {curve.auc:.4f}" for label, curve in answers.rocs().items())
    say(
        f"{name}: {counted.accuracy:.2%} of {counted.n:,} pictures "
        f"(95 % confidence: {low:.2%} to {high:.2%}), loss {counted.loss:.4f}"
    )
    say(f"calibration error {answers.ece():.2%}" + (f"; area under ROC: {areas}" if areas else ""))
    if answers.energy_limit is not None:
        say(f"answered {answers.answered:.2%}, the others are unsure")


def _show_calibration(calibrated: CalibrationResult) -> None:
    from edgecat.cli.terminal.console import say, table

    found = calibrated.found
    rows = [
        [kind, f"{found.plain[kind]:.1%}", f"{share:.1%}", f"{found.unseen[kind]:.1%}"]
        for kind, share in found.unsure.items()
    ]
    table(["unsure about", "plain energy", "now", "kind never seen"], rows)
    say()
    say(
        f"temperature {found.temperature:.3f}: loss {found.loss[0]:.4f} to {found.loss[1]:.4f}, "
        f"calibration error {found.ece[0]:.2%} to {found.ece[1]:.2%}"
    )
    say(
        f"energy limit {found.energy_limit:.3f}: {found.answered:.2%} of {found.n:,} validation "
        f"photographs are answered; fitted on {found.fitted:,} others"
    )
    say(f"{calibrated.checkpoint} is calibrated; what was exported from it before is not")
