"""`edgecat evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecat.cli.options import Backend, Json

if TYPE_CHECKING:
    from edgecat.training.metrics import Evaluation


def evaluate(
    model: Annotated[Path, typer.Argument(help="A checkpoint or an exported model.")],
    data: Annotated[
        list[Path], typer.Argument(help="Folders of class folders, or .tar files with the same.")
    ],
    backend: Backend = "auto",
    threads: Annotated[int | None, typer.Option(help="Of the CPU; default: the backend's.")] = None,
    json: Json = False,
) -> None:
    """Count a model's right answers on labelled pictures.

    Where the data has a test/ folder, only its pictures count.

    Example: `edgecat evaluate runs/pets/vgg16.onnx photos/`
    """
    from edgecat.cli.console import print_json, progress, warn
    from edgecat.cli.models import open_classifier
    from edgecat.cli.training import warn_skipped
    from edgecat.data.folder import scan
    from edgecat.training.loader import available_cores, served_batches
    from edgecat.training.metrics import evaluate as count

    with open_classifier(model, backend, threads=threads) as classifier:
        pictures = scan(data, labels=classifier.labels).judged()
        batches = served_batches(
            pictures, classifier.preprocess, batch_size=16, workers=available_cores()
        )
        with progress(len(pictures), "evaluating") as advance:
            evaluation = count(
                classifier.infer,
                batches,
                classifier.labels,
                temperature=classifier.card.temperature,
                on_batch=advance,
            )
        name = classifier.backend
    warn_skipped(pictures.skipped)
    for sentence in evaluation.skipped:
        warn(f"skipped: {sentence}")
    if json:
        print_json({"model": str(model), "backend": name, **evaluation.to_dict()})
    else:
        _show(evaluation, model, name)


def _show(evaluation: Evaluation, model: Path, backend: str) -> None:
    from edgecat.cli.console import say, table

    labels = evaluation.labels
    rows = []
    for i, (label, row) in enumerate(zip(labels, evaluation.confusion.tolist(), strict=True)):
        share = f"{row[i] / sum(row):.2%}" if sum(row) else "-"
        rows.append([label, str(sum(row)), share, *map(str, row)])
    table(["shown", "n", "right", *(f"said {label}" for label in labels)], rows)
    say()
    say(
        f"{model} on {backend}: {evaluation.accuracy:.2%} of {evaluation.n:,} pictures, "
        f"loss {evaluation.loss:.4f}"
    )
