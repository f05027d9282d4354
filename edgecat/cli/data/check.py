"""`edgecat data check`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecat.cli.options.common import MODEL_NAMES, Json, Verbose

if TYPE_CHECKING:
    from edgecat.curation.checks import Judge
    from edgecat.curation.findings import Findings
    from edgecat.data.folder import ImageSet

_NAMED = 10
_MEMBERS = 6  # names per group of duplicates

_COLUMNS = 10  # classes that fit side by side on a terminal


def check(
    data: Annotated[
        list[Path],
        typer.Argument(help="Folders of class folders, or .tar files with the same layout."),
    ],
    model: Annotated[
        Path | None,
        typer.Option(
            *MODEL_NAMES,
            help="Model that checks the labels (default: the newest run's, else the bundled one, "
            "if its classes match).",
            show_default=False,
        ),
    ] = None,
    doubts: Annotated[bool, typer.Option(help="Check labels with a model.")] = True,
    report: Annotated[
        Path | None, typer.Option(help="Write an HTML page with the findings and their images.")
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Exit with code 3 if anything other than doubtful labels is found."
        ),
    ] = False,
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Find corrupt images, duplicates (also across splits), class imbalance and doubtful labels.

    Duplicates are found even if re-encoded, resized, mirrored, brightened or darkened. A label is
    doubtful if a trained model predicts another class and gives the label less than 5 %, or if its
    loss is in the top 1 %. Inspect these yourself: the model may be wrong.

    Example: `edgecat data check photos/ --report check.html`
    """
    from edgecat.cli.terminal.console import print_json, progress
    from edgecat.curation.checks import check as run
    from edgecat.data.folder import scan
    from edgecat_runtime.errors import GateError, UserError

    if report is not None and report.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--report {report} does not end in .html; expected a .html file")
    pictures = scan(data)
    with ExitStack() as stack:
        judge = _judge(model, pictures, stack, verbose=verbose) if doubts or model else None
        with progress(len(pictures), "checking") as advance:
            findings = run(pictures, judge=judge, on_batch=advance)
    print_json(findings.to_dict()) if json else _show(findings)
    if report is not None:
        _write(report, findings, silent=json)
    if strict and findings.faults:
        raise GateError(f"the dataset has problems: {'; '.join(findings.faults)}")


def _judge(
    path: Path | None, pictures: ImageSet, stack: ExitStack, *, verbose: bool
) -> Judge | None:
    """Open the model that checks labels; the default one is skipped if its classes do not match."""
    from edgecat.cli.terminal.console import TERMINAL, warn
    from edgecat.curation.checks import Judge
    from edgecat.workflows.models import models_to_serve
    from edgecat.workflows.serving import open_classifier
    from edgecat_runtime.errors import EdgecatError, UserError

    try:
        model = stack.enter_context(
            open_classifier(models_to_serve(path), verbose=verbose, reporter=TERMINAL)
        )
        if unknown := sorted(set(pictures.labels) - set(model.labels)):
            raise UserError(
                f"{model.path} has the classes {', '.join(model.labels)}; the images also have "
                f"{', '.join(unknown)}. Choose a model trained on them with --model"
            )
    except EdgecatError as error:
        if path is not None:
            raise
        warn(f"labels are not checked: {error}")
        return None
    name = model.path.name if model.path else ""
    return Judge(name, tuple(model.labels), model.preprocess, model.infer, model.card.temperature)


def _show_extremes(findings: Findings) -> None:
    from edgecat.cli.terminal.console import table

    rows = []
    for split, counts in findings.counts.items():
        by_count = sorted(counts.items(), key=lambda item: item[1])
        ends = [f"{count:,} ({label})" for label, count in (by_count[0], by_count[-1])]
        rows.append([split or "no split", f"{sum(counts.values()):,}", str(len(counts)), *ends])
    table(["", "images", "classes", "fewest", "most"], rows)


def _show(findings: Findings) -> None:
    """Print the findings, listing the first few of each kind by name."""
    from edgecat.cli.terminal.console import say, table

    pictures, labels = findings.pictures.pictures, findings.pictures.labels
    if len(labels) > _COLUMNS:
        _show_extremes(findings)
    else:
        rows = [
            [split or "no split", *(f"{count:,}" for count in row.values())]
            for split, row in findings.counts.items()
        ]
        table(["", *labels], rows)
    _list("corrupt", [sentence for _, sentence in findings.corrupt])
    _list("not images", list(findings.pictures.skipped))
    _list(
        "duplicates",
        [
            _same([pictures[i].name for i in group.members]) + _notes(group.notes)
            for group in findings.copies
        ],
    )
    _list(
        "doubtful labels",
        [
            f"{pictures[d.picture].name}: {findings.model} predicts {d.said} and gives "
            f"{labels[pictures[d.picture].label]} {d.given:.2%}"
            for d in findings.doubts
        ],
    )
    say()
    if findings.model and not findings.doubts:
        say(f"labels doubted by {findings.model}: 0")
    for sentence in findings.problems:
        say(sentence)
    if not findings.problems:
        say(f"no problems found in {findings.pictures}")


def _same(names: list[str]) -> str:
    more = len(names) - _MEMBERS
    return " = ".join(names[:_MEMBERS]) + (f" and {more:,} more" if more > 0 else "")


def _notes(notes: tuple[str, ...]) -> str:
    return f" ({', '.join(notes)})" if notes else ""


def _list(title: str, lines: list[str]) -> None:
    from edgecat.cli.terminal.console import say

    if lines:
        say(f"\n{title}")
    for line in lines[:_NAMED]:
        say(f"  {line}")
    if len(lines) > _NAMED:
        say(f"  and {len(lines) - _NAMED:,} more: --report or --json lists all")


def _write(path: Path, findings: Findings, *, silent: bool) -> None:
    from edgecat.cli.terminal.console import say
    from edgecat.curation.check_report import write_report

    write_report(path, findings)
    if not silent:
        say(f"see the images in {path}")
