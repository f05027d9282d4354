"""Evaluate a model on labelled images, and calibrate it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecat.data.folder import ImageSet, scan
from edgecat.evaluation.answers import Answers, answers_to
from edgecat.pretrained import shipped
from edgecat.report.page import table
from edgecat.workflows.inputs import Paths, StrPath, many_paths, names_missing_packages, one_path
from edgecat.workflows.models import model_to_look_into, models_to_serve
from edgecat.workflows.reporter import SILENT, Reporter, warn_skipped
from edgecat.workflows.served import ServedModel
from edgecat.workflows.serving import open_classifier
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.artifact import read_card
from edgecat_runtime.system.counting import number_of

if TYPE_CHECKING:
    from edgecat.evaluation.calibration import Calibration
    from edgecat.evaluation.outliers import Outliers
    from edgecat.evaluation.robustness import Hardship
    from edgecat.workflows.batch.placement import Workers
    from edgecat.workflows.batch.summary import Run
    from edgecat_runtime import Classifier

_HARDER = 400  # images per corruption


@dataclass(frozen=True)
class CalibrationResult:
    """A calibrated checkpoint.

    Attributes:
        checkpoint: the file written.
        found: the fitted values and their effect.

    Example:
        >>> result = calibrate("vgg16.safetensors", "photos/")  # doctest: +SKIP
        >>> result.found.temperature, result.found.energy_limit  # doctest: +SKIP
        (1.18, -1.93)
    """

    checkpoint: Path
    found: Calibration

    def __fspath__(self) -> str:
        return str(self.checkpoint)

    def __repr__(self) -> str:
        name, found = type(self).__name__, self.found
        figures = f"temperature {found.temperature:.3f}, energy limit {found.energy_limit:.3f}"
        return f"{name}({str(self.checkpoint)!r}, {figures})"

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
class EvaluationResult:
    """A model's predictions on labelled images.

    Attributes:
        model: the path of the file.
        backend: the backend used.
        answers: predictions for every image that could be decoded.
        skipped: a message for each file that is not an image or could not be decoded.
        page: the report, if requested.
        served_by: the model's file, size, accuracy and backend.
        run: how fast the workers were; None without workers.

    Example:
        >>> result = evaluate("vgg16.onnx", "photos/")  # doctest: +SKIP
        >>> result.accuracy, result.answers.interval  # doctest: +SKIP
        (0.972, (0.9648, 0.9778))
    """

    model: str
    backend: str
    answers: Answers
    skipped: tuple[str, ...]
    page: Page | None = None
    served_by: ServedModel | None = None
    run: Run | None = None

    @property
    def accuracy(self) -> float:
        """Fraction of correct predictions, 0..1."""
        return self.answers.evaluation.accuracy

    def __repr__(self) -> str:
        counted = self.answers.evaluation
        figures = f"{counted.accuracy:.2%} of {number_of(counted.n, 'image')}"
        return f"{type(self).__name__}({figures}, {self.model} on {self.backend})"

    def _repr_html_(self) -> str:
        counted = self.answers.evaluation
        labels = [escape(label) for label in counted.labels]
        rows = [
            (label, *(f"{count:,}" for count in row))
            for label, row in zip(labels, counted.confusion.tolist(), strict=True)
        ]
        header = ("shown", *(f"said {label}" for label in labels))
        return f"<p>{escape(repr(self))}</p>{table(header, rows, left=(0,))}"

    def to_dict(self) -> dict[str, Any]:
        """The output for `--json`."""
        figures = {"model": self.model, "backend": self.backend, **self.answers.to_dict()}
        if self.served_by is not None:
            figures["served_by"] = self.served_by.to_dict()
        if self.run is not None:
            figures["workers"] = self.run.to_dict()
        if self.page is not None:
            figures |= {
                "robustness": [asdict(row) for row in self.page.hardships],
                "unsure": {kind.kind: kind.unsure for kind in self.page.outliers},
                "report": str(self.page.path),
            }
        return figures


@names_missing_packages
def calibrate(
    checkpoint: StrPath | None,
    data: Paths,
    *,
    output: StrPath | None = None,
    reporter: Reporter = SILENT,
) -> CalibrationResult:
    """Fit a checkpoint's temperature, and the energy limit above which it answers unsure.

    Args:
        checkpoint: to calibrate, as a path or a `TrainResult`. None: the newest run's, else the
            bundled one, which needs an `output`, as does `shipped`.
        data: photographs, or a training run's folder for its own.
        output: the file to write; None: the checkpoint itself.
        reporter: receives progress and warnings; silent by default.

    Raises:
        UserError: it is not a checkpoint, or the photographs cannot be used.
        BackendMissing: torch is not installed.

    Example:
        >>> calibrate("vgg16.safetensors", "photos/")  # doctest: +SKIP
        CalibrationResult('vgg16.safetensors', temperature 1.180, energy limit -1.930)
    """
    from edgecat.evaluation import calibration

    checkpoint, data = model_to_look_into(checkpoint), many_paths(data)
    output = None if output is None else one_path(output)
    if checkpoint.suffix != ".safetensors":
        read_card(checkpoint)
        raise UserError(
            f"--calibrate writes to a checkpoint; {checkpoint} is already exported. Calibrate "
            "its .safetensors file and export it again"
        )
    if output is None and shipped(checkpoint):
        raise UserError("the shipped model is never overwritten. Add --output FILE.safetensors")
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
    return CalibrationResult(output or checkpoint, found)


@names_missing_packages
def evaluate(
    model: StrPath | None,
    data: Paths,
    *,
    backend: str = "auto",
    threads: int | None = None,
    page: StrPath | None = None,
    workers: Workers | None = None,
    verbose: bool = False,
    reporter: Reporter = SILENT,
) -> EvaluationResult:
    """Evaluate a model on labelled images.

    Args:
        model: a checkpoint, an exported model, a `TrainResult` or an `ExportResult`, or `shipped`
            for the bundled model. None: the newest run under `runs/`, else the bundled model.
        data: folders of class folders, or tars; where there is a test part, only that counts.
        backend: as `Classifier.open` takes it.
        threads: CPU threads; None: the backend's default.
        page: an HTML file to write, with curves, robustness and the worst mistakes.
        workers: classify with many workers, of one thread each. None: in this process.
        verbose: report which backend was chosen, and why.
        reporter: receives progress and warnings; silent by default.

    Returns:
        The answer to every image, counted: accuracy, loss, confusion, calibration.

    Raises:
        UserError: no usable images, or a page that cannot be written.
        GateError: the model answers differently on this machine, or was modified.
        BackendMissing: nothing installed opens the model.

    Example:
        >>> evaluate("vgg16.onnx", "photos/")  # doctest: +SKIP
        EvaluationResult(97.20% of 2,500 images, vgg16.onnx on onnxruntime)
    """
    data = many_paths(data)
    if workers is not None:
        threads, workers = workers.threads(threads), workers.available(reporter)
    opened = open_classifier(
        models_to_serve(model), backend, threads=threads, verbose=verbose, reporter=reporter
    )
    with opened as classifier:
        pictures = scan(data, labels=classifier.labels).judged()
        answers, run = _answers(pictures, classifier, workers, reporter)
        skipped = (*pictures.skipped, *answers.skipped)
        served = ServedModel.of_classifier(classifier)
        found = EvaluationResult(
            served.file or "", served.backend, answers, skipped, served_by=served, run=run
        )
        if page is not None:
            found = replace(
                found, page=_page(one_path(page), classifier, found, pictures, reporter)
            )
    warn_skipped(reporter, pictures.skipped)
    for sentence in answers.skipped:
        reporter.warn(f"skipped: {sentence}")
    return found


def _answers(
    pictures: ImageSet, classifier: Classifier, workers: Workers | None, reporter: Reporter
) -> tuple[Answers, Run | None]:
    """Run the model on every image: in this process, or with workers."""
    if workers is not None:
        from edgecat.workflows.batch.evaluate import answers_of_workers

        return answers_of_workers(pictures, classifier, workers, reporter)
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
    return answers, None


def _page(
    path: Path,
    classifier: Classifier,
    found: EvaluationResult,
    pictures: ImageSet,
    reporter: Reporter,
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
