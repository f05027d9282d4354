"""`edgecat classify DATA... --output predictions.parquet`: one row per image, resumable."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgecat._version import __version__
from edgecat.training.lock import locked
from edgecat.workflows.batch.best_batch import best_batch
from edgecat.workflows.batch.engine import Plan, classify_items, model_sha256, setup_for
from edgecat.workflows.batch.partial import Partial, folder_of, kept_facts
from edgecat.workflows.batch.placement import Workers
from edgecat.workflows.batch.sources import PARQUET, digest, list_items
from edgecat.workflows.batch.summary import BatchSummary
from edgecat.workflows.batch.tasks import Item
from edgecat.workflows.batch.worker import Setup
from edgecat.workflows.inputs import Paths, StrPath, many_paths, names_missing_packages, one_path
from edgecat.workflows.models import models_to_serve
from edgecat.workflows.reporter import SILENT, Reporter
from edgecat.workflows.served import ServedModel
from edgecat.workflows.serving import open_classifier
from edgecat_runtime.classifier import Classifier
from edgecat_runtime.errors import UserError
from edgecat_runtime.images import ImageError
from edgecat_runtime.system.atomic import write_error
from edgecat_runtime.system.counting import number_of

_FORMAT = 1


@names_missing_packages
def classify_to_parquet(
    data: Paths,
    output: StrPath,
    model: StrPath | None = None,
    *,
    workers: Workers | None = None,
    backend: str = "auto",
    device: str = "auto",
    labels: StrPath | None = None,
    verbose: bool = False,
    reporter: Reporter = SILENT,
) -> BatchSummary:
    """Classify many images with many workers into one Parquet file.

    Its rows are in the order of the input: source, label, confidence, logits, energy, error. An
    image that cannot be decoded is a row with an error. Whatever the number and kind of workers,
    the rows are the same, bit for bit on processors of the same kind.

    Results so far are kept in `OUTPUT.partial`, so that an interrupted run continues where it was
    when it is repeated with the same arguments; the folder is deleted once the output is complete.

    Args:
        data: image files, folders, tars (WebDataset shards too, and `shard-{000..007}.tar`) and
            Parquet files with a column of encoded images.
        output: the `.parquet` file to write.
        model: as for `classify`.
        workers: how many, and where. None: one process per core of this machine.
        backend: as `Classifier.open` takes it; `auto` is chosen once, for all workers.
        device: as `Classifier.open` takes it.
        labels: a text file with other names for the classes, one per line.
        verbose: report which form and backend were chosen, and why.
        reporter: receives progress and warnings; silent by default.

    Raises:
        ImageError: none of the images could be decoded.
        UserError: a path that cannot be read or written, a cluster that cannot be reached, or
            results of another run in `OUTPUT.partial`.
        GateError: the model answers differently on this machine, or was modified.
        DeviceError: workers end again and again.
        BackendMissing: nothing installed opens the model, or pyarrow is not installed.

    Example:
        >>> summary = classify_to_parquet("photos/", "predictions.parquet")  # doctest: +SKIP
    """
    import pyarrow as pa  # noqa: F401  (missing: reported before long work)

    path = _checked(one_path(output))
    workers = (workers or Workers()).available(reporter)
    given = many_paths(data)
    opened = open_classifier(
        models_to_serve(model),
        backend,
        device=device,
        threads=1,
        labels=None if labels is None else one_path(labels),
        verbose=verbose,
        reporter=reporter,
    )
    with opened as classifier:
        folder = folder_of(path)
        items = list_items(given, ignore=(path, folder), reporter=reporter)
        _create(folder)
        try:
            with locked(folder, "is writing to"):
                return _run(path, items, classifier, workers, labels is not None, reporter)
        except KeyboardInterrupt:
            reporter.warn(f"the results so far are in {folder}; the same command continues there")
            raise


def _run(
    output: Path,
    items: Sequence[Item],
    classifier: Classifier,
    workers: Workers,
    own_labels: bool,
    reporter: Reporter,
) -> BatchSummary:
    """Classify what is still missing, then write the output."""
    sha256 = model_sha256(classifier)
    kept = kept_facts(folder_of(output)).get("batch")
    kept = kept if type(kept) is int and kept > 0 else None
    plan = Plan.of(items, workers.batch or kept or best_batch(classifier, sha256))
    setup = setup_for(classifier, plan, own_labels=own_labels)
    partial = Partial(output, _facts(plan, setup, classifier))
    missing = [i for i in range(plan.parts) if not partial.has(i, plan.images_in(i))]
    run = classify_items(plan, setup, workers, parts=missing, done=partial.write, reporter=reporter)
    counts = partial.finish(plan.parts)
    if counts.failed == len(items):
        raise ImageError(
            f"none of {number_of(len(items), 'image')} could be decoded; the first: {counts.error}"
        )
    return BatchSummary(
        output=output,
        images=len(items),
        failed=counts.failed,
        labels=dict(counts.labels.most_common()),
        run=run,
        served_by=ServedModel.of_classifier(classifier),
    )


def _facts(plan: Plan, setup: Setup, classifier: Classifier) -> dict[str, Any]:
    """What the rows depend on: in the manifest and in the output's metadata."""
    return {
        "version": _FORMAT,
        "edgecat": __version__,
        "model": setup.sha256,
        "labels": list(classifier.labels),
        "backend": setup.backend,
        "device": setup.device,
        "batch": plan.batch,
        "part": plan.size,
        "images": len(plan.items),
        "inputs": digest(plan.items),
    }


def _checked(output: Path) -> Path:
    if output.suffix.lower() != PARQUET:
        raise UserError(
            f"the output is {output}; expected a .parquet file, such as predictions.parquet"
        )
    if output.is_dir():
        raise write_error(output, IsADirectoryError(errno.EISDIR, "Is a directory"))
    return output


def _create(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(folder, error) from error
