"""The evaluation report: figures, curves, robustness, outliers and the worst errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecat._version import __version__
from edgecat.evaluation.answers import Answers
from edgecat.evaluation.curves import Reliability, reliability, wilson
from edgecat.evaluation.figures import energy_figure, reliability_figure, roc_figure
from edgecat.evaluation.outliers import Outliers
from edgecat.evaluation.robustness import CHANGES, Hardship
from edgecat.report.charts import keys
from edgecat.report.page import cards, data_url, page, scrolling, table, verdict
from edgecat.scores import energies, softmax
from edgecat_runtime.images import ImageError, decode_image
from edgecat_runtime.model.preprocess import shrink
from edgecat_runtime.system.atomic import atomic_write
from edgecat_runtime.system.opencv import cv2_module

WORST = 24
_CLASSES = 20  # more do not fit on a page
_COVERED = 0.95  # with fewer predictions that are not unsure, the headline says so
_TILE = 120
_STYLE = """<style>
.sheet img { object-fit: cover; }
.strip { display: flex; gap: 8px; } .strip img { width: 96px; height: 72px; }
.heat { border-spacing: 3px; border-collapse: separate; }
.heat td { text-align: center; border: 0; border-radius: 5px; padding: 8px; }
.heat td small { color: inherit; }
.heat tr > :first-child { text-align: left; }
</style>"""


@dataclass(frozen=True)
class Report:
    """The contents of a report.

    Attributes:
        model: the model file.
        backend: the backend used.
        answers: predictions for the original images.
        hardships: accuracy on corrupted images.
        harder: number of images that were corrupted.
        outliers: predictions for drawn frames.
    """

    model: str
    backend: str
    answers: Answers
    hardships: Sequence[Hardship]
    harder: int
    outliers: Sequence[Outliers]


def write_report(path: Path, report: Report) -> None:
    """Write the page atomically.

    Raises:
        UserError: it cannot be written.
    """
    atomic_write(path, report_html(report))


def report_html(report: Report) -> str:
    """Return the evaluation as a complete HTML document."""
    sections = (_head, _classes, _curves, _unknown, _robustness, _mistakes, _foot)
    body = "\n".join(part(report) for part in sections)
    return page(f"edgecat evaluate {Path(report.model).name}", _STYLE + body)


def _head(report: Report) -> str:
    answers = report.answers
    low, high = answers.interval
    accuracy, n = answers.evaluation.accuracy, len(answers.pictures)
    facts = [
        (f"{accuracy:.2%}", f"accuracy; 95 % interval {low:.2%} to {high:.2%}"),
        (f"{answers.ece():.2%}", "expected calibration error"),
    ]
    areas = [curve.auc for curve in answers.rocs().values()]
    if areas:
        facts.insert(1, (f"{float(np.mean(areas)):.4f}", "area under the ROC curve"))
    if answers.energy_limit is not None:
        drawn = float(np.mean([kind.unsure for kind in report.outliers]))
        facts.append((f"{answers.answered:.1%}", "coverage: images that are not unsure"))
        facts.append((f"{drawn:.1%}", "of frames without any of the classes are unsure"))
    headline = f"{accuracy:.1%} of {n:,} images are classified correctly"
    if answers.answered < _COVERED:
        headline += f", but {1 - answers.answered:.1%} are answered unsure"
    return (
        f"<h1>Evaluation of {escape(Path(report.model).name)}</h1>\n"
        f"{verdict(headline)}\n<p>Images of "
        f"{escape(', '.join(answers.labels[:_CLASSES]))}, classified on "
        f"{escape(report.backend)}.</p>\n{cards(facts)}"
    )


def _classes(report: Report) -> str:
    counted = report.answers.evaluation
    shown = range(min(len(counted.labels), _CLASSES))
    rows = []
    for i in shown:
        row = counted.confusion[i].tolist()
        low, high = wilson(row[i], sum(row))
        share = f"{row[i] / sum(row):.2%}" if sum(row) else "-"
        said = (f"<b>{row[j]:,}</b>" if i == j else f"{row[j]:,}" for j in shown)
        between = f"{low:.1%} to {high:.1%}"
        rows.append((escape(counted.labels[i]), f"{sum(row):,}", share, between, *said))
    names = (f"predicted {escape(counted.labels[j])}" for j in shown)
    return _section(
        "Results per class",
        "Rows are the actual classes, columns the predicted ones.",
        table(("actual", "images", "correct", "95 % confidence", *names), rows, left=(0,)),
    )


def _curves(report: Report) -> str:
    answers = report.answers
    plain = _reliability(answers, 1.0)
    warm = _reliability(answers, answers.temperature) if answers.temperature != 1 else None
    curves = answers.rocs()
    figures = [
        f"<figure>{reliability_figure(plain, warm)}<figcaption>Calibration: accuracy against "
        "confidence. Larger dots represent more images.</figcaption></figure>"
    ]
    if curves:
        figures.insert(
            0,
            f"<figure>{roc_figure(curves)}<figcaption>ROC: each class against the rest, over "
            "every threshold.</figcaption></figure>",
        )
    text = (
        f"The softmax temperature is {answers.temperature:.3f}."
        if warm
        else "The model is not calibrated: use edgecat evaluate MODEL --calibrate PHOTOS."
    )
    return _section("Calibration", text, f'<div class="row">{"".join(figures)}</div>')


def _unknown(report: Report) -> str:
    answers = report.answers
    groups = {
        "images": energies(answers.logits, answers.temperature),
        "drawn frames of other things": np.concatenate([k.energies for k in report.outliers]),
    }
    limit = answers.energy_limit
    text = (
        "Landscapes, textures, pages of text, noise and uniform frames, drawn from seeds not used "
        "for calibration. If the energy is above the limit, the prediction is unsure: "
        f"{1 - answers.answered:.1%} of the images above, and of the drawn frames as listed."
        if limit is not None
        else "Drawn frames that show none of the classes. The model has no energy limit, so it "
        "assigns each to one of its classes; edgecat evaluate --calibrate sets a limit."
    )
    rows = [
        (
            escape(kind.kind),
            f"{kind.unsure:.0%}",
            f'<div class="strip">{"".join(_image(f, kind.kind, 96) for f in kind.frames)}</div>',
        )
        for kind in report.outliers
    ]
    return _section(
        "Out-of-distribution frames",
        text,
        f"<figure>{energy_figure(groups, limit)}<figcaption>{keys(list(groups))}. Histogram of the "
        f"energy; each group is scaled to its largest bar.</figcaption></figure>"
        f"{table(('', 'unsure', ''), rows, left=(0, 2))}",
    )


def _robustness(report: Report) -> str:
    limited = report.answers.energy_limit is not None
    rows = []
    for change in CHANGES:
        cells = "".join(
            _heat(row, limited) for row in report.hardships if row.change == change.name
        )
        rows.append(f"<tr><th>{escape(change.name)}</th>{cells}</tr>")
    also = ", with the coverage below it" if limited else ""
    return _section(
        "Robustness to corruptions",
        f"Accuracy on {report.harder:,} of the images{also}.",
        scrolling(f'<table class="heat">{"".join(rows)}</table>', "Robustness"),
    )


def _heat(row: Hardship, limited: bool) -> str:
    """A table cell, redder for lower accuracy: white at 100 %, full red at 50 % and below."""
    depth = min(1.0, max(0.0, (1 - row.accuracy) * 2)) ** 0.8 * 0.75
    low, high = row.interval
    answered = f"<br><small>{row.answered:.0%} coverage</small>" if limited else ""
    return (
        f'<td style="background:rgba(200,66,59,{depth:.2f})" title="{low:.1%} to {high:.1%}">'
        f"<small>{escape(row.strength)}</small><br><b>{row.accuracy:.1%}</b>{answered}</td>"
    )


def _mistakes(report: Report) -> str:
    answers = report.answers
    wrong = np.flatnonzero(~answers.right)
    if not len(wrong):
        return _section("Worst errors", "There are none.", "")
    shares = answers.probabilities
    worst = wrong[np.argsort(-shares[wrong].max(1), kind="stable")][:WORST]
    limit = np.inf if answers.energy_limit is None else answers.energy_limit
    energy = energies(answers.logits, answers.temperature)
    tiles = "".join(
        tile for i in worst.tolist() for tile in _mistake(answers, i, shares[i], energy[i] > limit)
    )
    return _section(
        "Worst errors",
        f"The {len(worst)} most confident of {len(wrong):,} wrong predictions.",
        f'<div class="sheet">{tiles}</div>',
    )


def _mistake(
    answers: Answers, index: int, shares: NDArray[np.float64], unsure: bool
) -> Iterator[str]:
    """Yield an image and its prediction, or nothing if the file has disappeared."""
    picture = answers.pictures[index]
    try:
        image = decode_image(picture.read(), picture.name)
    except ImageError:
        return
    best = int(shares.argmax())
    said = f"{escape(answers.labels[best])} {shares[best]:.1%}"
    yield (
        f"<figure>{_image(image, picture.name, _TILE)}<figcaption>"
        f'{escape(answers.labels[picture.label])}; predicted <b class="fail">✗ {said}</b>'
        f"{', but unsure' if unsure else ''}<br><small>{escape(Path(picture.name).name)}</small>"
        "</figcaption></figure>"
    )


def _foot(report: Report) -> str:
    return (
        f"<footer>edgecat {escape(__version__)}. Intervals: Wilson. Calibration error: Guo et "
        "al. 2017, 15 bins. Energy: Liu et al. 2020.</footer>"
    )


def _section(title: str, text: str, inside: str) -> str:
    return f"<section><h2>{title}</h2><p>{escape(text)}</p>{inside}</section>"


def _reliability(answers: Answers, temperature: float) -> Reliability:
    return reliability(softmax(answers.logits, temperature).max(1), answers.right)


def _image(image: NDArray[np.uint8], name: str, side: int) -> str:
    """The image as an element, its shorter side at most twice `side`."""
    cv2 = cv2_module()
    scale = min(1.0, 2 * side / min(image.shape[:2]))
    height, width = (max(1, round(n * scale)) for n in image.shape[:2])
    _, data = cv2.imencode(".jpg", shrink(image, height, width), [cv2.IMWRITE_JPEG_QUALITY, 80])
    url = data_url(data.tobytes(), "image/jpeg")
    return f'<img alt="{escape(name, quote=True)}" src="{url}">'
