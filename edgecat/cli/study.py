"""`edgecat study`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgecat.cli.options.common import Json


def study(
    name: Annotated[
        str | None,
        typer.Argument(help="Name of the study (default: list all).", show_default=False),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folders of class folders, or .tar files with the same layout; repeatable "
            "(default: drawn pets).",
            show_default=False,
        ),
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder for NAME.html and NAME.csv.")] = Path(
        "studies"
    ),
    seeds: Annotated[
        int, typer.Option(min=1, max=100, help="Number of repetitions, each with its own seed.")
    ] = 3,
    json: Json = False,
) -> None:
    """Test the claims of a lecture on deep learning, on drawn pets or your own images.

    Each study takes up to a few minutes and produces a page with plots and a two-sentence summary,
    and its data as CSV.

    Example: `edgecat study activations`
    """
    from edgecat.cli.terminal.console import TERMINAL, print_json, progress, say
    from edgecat.study import STUDIES, find_study

    if name is None:
        _list(as_json=json)
        return
    wanted = find_study(name)(data=tuple(map(str, data or ())), seeds=seeds)
    from edgecat.study.report import check_folder, save_outcome
    from edgecat.workflows.reporter import warn_skipped

    check_folder(output)
    with progress(wanted.steps, name) as advance:
        outcome = wanted.run(advance)
    files = save_outcome(name, wanted, outcome, output)
    warn_skipped(TERMINAL, outcome.skipped)
    if json:
        print_json(
            {
                "study": name,
                "question": STUDIES[name][1],
                "finding": list(outcome.finding),
                "figures": dict(outcome.figures),
                "files": list(map(str, files)),
            }
        )
        return
    for sentence in outcome.finding:
        say(sentence)
    say(f"report: {files[0]}")


def _list(*, as_json: bool) -> None:
    from edgecat.cli.terminal.console import print_json, say
    from edgecat.study import STUDIES

    if as_json:
        print_json({name: question for name, (_, question) in STUDIES.items()})
        return
    for name, (_, question) in STUDIES.items():
        say(f"{name:<14} {question}")
