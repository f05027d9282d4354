"""Evaluate a model on labelled images, and calibrate it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecat.data.folder import PictureSet, scan
from edgecat.evaluation.answers import Answers, answers_to
from edgecat.workflows.reporter import SILENT, Reporter, warn_skipped
from edgecat.workflows.serving import open_classifier
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.artifact import read_card

if TYPE_CHECKING:
    from edgecat.evaluation.calibration import Calibration
    from edgecat.evaluation.outliers import Outliers
    from edgecat.evaluation.robustness import Hardship
    from edgecat_runtime import Classifier

_HARDER = 400  # images per corruption


@dataclass(frozen=True)
class Calibrated:
    """A calibrated checkpoint.

    Attributes:
        checkpoint: the file written.
        found: the fitted values and their effect.
    """

    checkpoint: Path
    found: Calibration

    def to_dict(self) -> dict[str, Any]:
        """The output for `--json`."""
        return {"checkpoint": str(self.checkpoint), **self.found.to_dict()}


@dataclass(frozen=True)
class Page:
    """The report of an evaluation.

    Attributes:
        path: the HTML file.
        hardships: accuracy under each image corruption.
        outliers: drawn frames that show none of the classes, by kind.
    """

    path: Path
    hardships: tuple[Hardship, ...]
    outliers: tuple[Outliers, ...]


@dataclass(frozen=True)
class Evaluated:
    """A model's predictions on labelled images.

    Attributes:
        model: the path as given.
        backend: the backend used.
        answers: predictions for every image that could be decoded.
        skipped: a message for each file that is not an image or could not be decoded.
        page: the report, if requested.
    """

    model: str
    backend: str
    answers: Answers
    skipped: tuple[str, ...]
    page: Page | None = None

    def to_dict(self) -> dict[str, Any]:
        """The output for `--json`."""
        figures = {"model": self.model, "backend": self.backend, **self.answers.to_dict()}
        if self.page is not None:
            figures |= {
                "robustness": [asdict(row) for row in self.page.hardships],
                "unsure": {kind.kind: kind.unsure for kind in self.page.outliers},
                "report": str(self.page.path),
            }
        return figures


def calibrate(
    checkpoint: Path,
    data: Sequence[Path],
    *,
    output: Path | None = None,
    reporter: Reporter = SILENT,
) -> Calibrated:
    """Fit a checkpoint's temperature, and the energy limit above which it answers unsure.

    Args:
        checkpoint: to calibrate.
        data: photographs, or a training run's folder to use its own.
        output: the file to write; None: the checkpoint itself.
        reporter: receives the progress.

    Raises:
        UserError: not a checkpoint, or the photographs cannot be used.
    """
    from edgecat.evaluation import calibration

    if checkpoint.suffix != ".safetensors":
        read_card(checkpoint)
        raise UserError(
            f"--calibrate writes to a checkpoint; {checkpoint} is already exported. Calibrate "
            "its .safetensors file and export it again"
        )
    labels = read_card(checkpoint).labels
    fitting, validation = calibration.photographs_to_calibrate(data, labels)
    total = calibration.frames_to_see(fitting, validation)
    with reporter.progress(total, "calibrating") as advance:
        found = calibration.calibrate(
            checkpoint,
            fitting,
            validation,
            output=output,
            tell=lambda what, frames: advance(frames, what),
        )
    warn_skipped(reporter, found.skipped)
    return Calibrated(output or checkpoint, found)


def evaluate(
    model: Path,
    data: Sequence[Path],
    *,
    backend: str = "auto",
    threads: int | None = None,
    page: Path | None = None,
    verbose: bool = False,
    reporter: Reporter = SILENT,
) -> Evaluated:
    """Evaluate a model on labelled images.

    Args:
        model: a checkpoint or an exported model.
        data: folders of class folders, or tars; if there is a test part, only that is used.
        backend: as for `Classifier.open`.
        threads: likewise.
        page: an HTML file to write, with curves, robustness and the worst errors.
        verbose: as for `open_classifier`.
        reporter: receives the progress.

    Raises:
        EdgecatError: as `open_classifier`, or the images cannot be used.
    """
    opened = open_classifier(model, backend, threads=threads, verbose=verbose, reporter=reporter)
    with opened as classifier:
        pictures = scan(data, labels=classifier.labels).judged()
        card = classifier.card
        with reporter.progress(len(pictures), "evaluating") as advance:
            answers = answers_to(
                pictures,
                classifier.infer,
                lambda picture, _: classifier.preprocess(picture),
                temperature=card.temperature,
                energy_limit=card.energy_limit,
                on_batch=advance,
            )
        skipped = (*pictures.skipped, *answers.skipped)
        found = Evaluated(str(model), classifier.backend, answers, skipped)
        if page is not None:
            found = replace(found, page=_page(page, classifier, found, pictures, reporter))
    warn_skipped(reporter, pictures.skipped)
    for sentence in answers.skipped:
        reporter.warn(f"skipped: {sentence}")
    return found


def _page(
    path: Path, classifier: Classifier, found: Evaluated, pictures: PictureSet, reporter: Reporter
) -> Page:
    """Evaluate the model on corrupted images and on outliers, and write the report."""
    from edgecat.evaluation.outliers import FRAMES, outliers
    from edgecat.evaluation.report import Report, write_report
    from edgecat.evaluation.robustness import CASES, evenly, hardships
    from edgecat.pets.outliers import KINDS

    card, some = classifier.card, evenly(pictures, _HARDER)
    total = len(CASES) * len(some) + len(KINDS) * FRAMES
    with reporter.progress(total, "evaluating robustness") as advance:
        rows = hardships(some, classifier.infer, card, on_batch=advance)
        drawn = outliers(classifier.infer, card, on_batch=advance)
    write_report(
        path, Report(found.model, classifier.backend, found.answers, rows, len(some), drawn)
    )
    return Page(path, tuple(rows), tuple(drawn))
