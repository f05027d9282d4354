"""How `edgecat evaluate` works and shows itself on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecat.cli.console import progress, say, table, warn
from edgecat.cli.serving import open_classifier
from edgecat.cli.training import warn_skipped
from edgecat.data.folder import PictureSet, scan
from edgecat.evaluation.answers import Answers, answers_to
from edgecat_runtime.artifact import read_card
from edgecat_runtime.errors import UserError

if TYPE_CHECKING:
    from edgecat.evaluation.calibration import Calibration
    from edgecat_runtime import Classifier

_HARDER = 400  # pictures that are tried under every change


def check_request(
    model: Path,
    data: Sequence[Path] | None,
    calibrate: Sequence[Path] | None,
    output: Path | None,
    report: Path | None,
) -> None:
    """Refuse what does not go together, before anything takes time.

    Raises:
        UserError: neither pictures nor photographs to calibrate on, a report without pictures, or
            a calibration of what is no checkpoint.
    """
    if not data and not calibrate:
        raise UserError(
            "no pictures named. Give folders of class folders or .tar files: edgecat evaluate "
            f"{model} photos/"
        )
    if report and not data:
        raise UserError("--report needs labelled pictures to report on; name them after the model")
    if output and not calibrate:
        raise UserError("--output is where --calibrate writes; give --calibrate DATA with it")
    if calibrate and model.suffix != ".safetensors":
        read_card(model)
        raise UserError(
            f"--calibrate writes into a checkpoint; {model} is exported already. Calibrate its "
            ".safetensors file and export that again"
        )


def calibrated(
    model: Path, paths: Sequence[Path], output: Path | None, *, silent: bool
) -> dict[str, Any]:
    """Calibrate a checkpoint, say what was found, and return it."""
    from edgecat.evaluation.calibration import calibrate, frames_to_see, photographs_to_calibrate

    fitting, validation = photographs_to_calibrate(paths, read_card(model).labels)
    with progress(frames_to_see(fitting, validation), "calibrating") as advance:
        found = calibrate(
            model,
            fitting,
            validation,
            output=output,
            tell=lambda what, frames: advance(frames, what),
        )
    warn_skipped(found.skipped)
    if not silent:
        _show_calibration(found, output or model)
    return {"checkpoint": str(output or model), **found.to_dict()}


def evaluated(
    model: Path,
    data: Sequence[Path],
    backend: str,
    threads: int | None,
    report: Path | None,
    *,
    silent: bool,
    verbose: bool,
) -> dict[str, Any]:
    """Evaluate a model, say what it scored, and return it."""
    with open_classifier(model, backend, threads=threads, verbose=verbose) as classifier:
        pictures = scan(data, labels=classifier.labels).judged()
        card = classifier.card
        with progress(len(pictures), "evaluating") as advance:
            answers = answers_to(
                pictures,
                classifier.infer,
                lambda picture, _: classifier.preprocess(picture),
                temperature=card.temperature,
                energy_limit=card.energy_limit,
                on_batch=advance,
            )
        figures = {"model": str(model), "backend": classifier.backend, **answers.to_dict()}
        if report:
            figures |= _reported(report, classifier, str(model), answers, pictures)
    warn_skipped(pictures.skipped)
    for sentence in answers.skipped:
        warn(f"skipped: {sentence}")
    if not silent:
        _show(answers, f"{model} on {figures['backend']}")
        if report:
            say(f"{report} shows it")
    return figures


def _reported(
    path: Path, classifier: Classifier, model: str, answers: Answers, pictures: PictureSet
) -> dict[str, Any]:
    """Write the report, and return what it holds beyond the answers."""
    from edgecat.data.outliers import KINDS
    from edgecat.evaluation.outliers import FRAMES, outliers
    from edgecat.evaluation.report import Report, write_report
    from edgecat.evaluation.robustness import CASES, evenly, hardships

    card, some = classifier.card, evenly(pictures, _HARDER)
    total = len(CASES) * len(some) + len(KINDS) * FRAMES
    with progress(total, "making it harder") as advance:
        rows = hardships(some, classifier.infer, card, on_batch=advance)
        drawn = outliers(classifier.infer, card, on_batch=advance)
    write_report(path, Report(model, classifier.backend, answers, rows, len(some), drawn))
    return {
        "robustness": [asdict(row) for row in rows],
        "unsure": {kind.kind: kind.unsure for kind in drawn},
        "report": str(path),
    }


def _show(answers: Answers, name: str) -> None:
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


def _show_calibration(found: Calibration, path: Path) -> None:
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
    say(f"{path} is calibrated; what was exported from it before is not")
