"""`edgecat classify`."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgecat.cli.options.common import Backend, Device, Engine, Labels, Rebuild, Verbose
from edgecat.cli.options.workers import BATCH, BatchSize, On, WorkerCount, workers_given

if TYPE_CHECKING:
    from edgecat.workflows.batch.placement import Workers
    from edgecat.workflows.classify import ImagePrediction

_FORMAT = "Output"


def classify(
    context: typer.Context,
    image: Annotated[
        list[Path],
        typer.Argument(
            help="Images, or folders of images; - reads one from standard input. With --output "
            "also .tar files, such as WebDataset shards, and .parquet files with encoded images."
        ),
    ],
    engine: Engine = None,
    backend: Backend = "auto",
    device: Device = "auto",
    labels: Labels = None,
    rebuild: Rebuild = False,
    top: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Show this many of the most probable classes (default: the label; with --json, "
            "--jsonl and --csv, all).",
            show_default=False,
            rich_help_panel=_FORMAT,
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print a JSON list.", rich_help_panel=_FORMAT)
    ] = False,
    jsonl: Annotated[
        bool,
        typer.Option("--jsonl", help="Print one JSON line per image.", rich_help_panel=_FORMAT),
    ] = False,
    as_csv: Annotated[
        bool,
        typer.Option("--csv", help="Print CSV with a header line.", rich_help_panel=_FORMAT),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Classify with many workers into this .parquet file, one row per image; a run "
            "that was interrupted continues when it is repeated.",
            show_default=False,
            rich_help_panel=BATCH,
        ),
    ] = None,
    on: On = None,
    workers: WorkerCount = None,
    batch: BatchSize = None,
    verbose: Verbose = False,
) -> None:
    """Classify images.

    Example: `edgecat classify cat.jpg dog.jpg --model runs/pets/vgg16.onnx`
    """
    if json + jsonl + as_csv > 1:
        context.fail("--json, --jsonl and --csv exclude one another; give one of them")
    if output is not None:
        if jsonl or as_csv or top or rebuild:
            context.fail("--output writes Parquet; leave out --jsonl, --csv, --top and --rebuild")
        options = {"backend": backend, "device": device, "labels": labels, "verbose": verbose}
        _to_parquet(image, output, engine, workers_given(on, workers, batch), options, json=json)
        return
    if on or workers or batch:
        context.fail("--on, --workers and --batch need --output FILE.parquet")
    from edgecat.cli.terminal.console import TERMINAL, print_json
    from edgecat.workflows import classify as workflow
    from edgecat_runtime.images import ImageError

    show = _Lines(top, jsonl=jsonl, as_csv=as_csv)
    found = workflow.classify(
        image,
        engine,
        backend=backend,
        device=device,
        labels=labels,
        rebuild=rebuild,
        verbose=verbose,
        on_result=lambda result: None if json else show(result),
        reporter=TERMINAL,
    )
    if json:
        print_json(found.to_dict(top))
    if found.skipped:
        raise ImageError(
            f"{len(found.skipped)} of {len(found) + len(found.skipped)} images could not be "
            "read; see the errors above"
        )


def _to_parquet(
    data: list[Path],
    output: Path,
    model: Path | None,
    workers: Workers,
    options: dict[str, Any],
    *,
    json: bool,
) -> None:
    from edgecat.cli.terminal.console import TERMINAL, print_json, say
    from edgecat.workflows.batch.classify import classify_to_parquet

    summary = classify_to_parquet(
        data, output, model, workers=workers, reporter=TERMINAL, **options
    )
    if json:
        print_json(summary.to_dict())
    else:
        say(str(summary))


class _Lines:
    """Prints each prediction as soon as it is made, as text, JSON or CSV."""

    def __init__(self, top: int | None, *, jsonl: bool, as_csv: bool) -> None:
        self._top, self._jsonl, self._csv = top, jsonl, as_csv
        self._first = True

    def __call__(self, result: ImagePrediction) -> None:
        from edgecat.cli.terminal.console import json_line, say

        if self._jsonl:
            say(json_line(result.to_dict(self._top)))
        elif self._csv:
            self._row(result)
        elif self._top is None:
            say(str(result))
        else:
            best = ", ".join(f"{name} {share:.1%}" for name, share in self._best(result).items())
            unsure = f"{result.prediction} ({best})" if result.prediction.unsure else best
            say(f"{result.source}  {unsure}")

    def _best(self, result: ImagePrediction) -> dict[str, float]:
        return result.best(self._top or len(result.probabilities))

    def _row(self, result: ImagePrediction) -> None:
        """Print the classes as columns, or with `--top` the most probable ones by rank."""
        from edgecat.cli.terminal.console import say

        if self._top is None:
            names = list(result.probabilities)
            values: list[object] = [*result.probabilities.values()]
        else:
            best = self._best(result)
            names = [f"{what}{i}" for i in range(1, len(best) + 1) for what in ("label", "share")]
            values = [value for pair in best.items() for value in pair]
        if self._first:
            say(_csv_line(["source", "label", "confidence", *names]))
            self._first = False
        say(_csv_line([result.source, result.prediction.displayed, result.confidence, *values]))


def _csv_line(values: list[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue()
