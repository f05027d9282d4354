"""`edgecat study`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

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
    language: Annotated[
        Literal["en", "ko", "both"],
        typer.Option(help="Language of the page; `both` writes two from the same measurements."),
    ] = "en",
    json: Json = False,
) -> None:
    """Test the claims of a lecture on deep learning, on drawn pets or your own images.

    Each study takes up to a few minutes and produces a page with plots and a two-sentence summary,
    and its data as CSV.

    Example: `edgecat study activations`
    """
    from edgecat.cli.terminal.console import TERMINAL, print_json, progress, say
    from edgecat.study import STUDIES, find_study
    from edgecat.study.words import LANGUAGES, speaking, tr

    spoken = LANGUAGES if language == "both" else (language,)
    if name is None:
        with speaking(spoken[0]):
            _list(as_json=json)
        return
    wanted = find_study(name)(data=tuple(map(str, data or ())), seeds=seeds)
    from edgecat.study.fonts import fonts
    from edgecat.study.report import check_folder, save_outcome
    from edgecat.workflows.reporter import warn_skipped

    check_folder(output)
    for one in spoken:
        fonts(one)  # missing ones are told before the minutes of measuring
    with progress(wanted.steps, name) as advance:
        present = wanted.measured(advance)
    files: list[Path] = []
    for one in reversed(spoken):  # the first language last: its outcome is the one printed
        with speaking(one):
            outcome = present()
            files = list(dict.fromkeys((*save_outcome(name, wanted, outcome, output), *files)))
            question = tr(STUDIES[name][1])
    warn_skipped(TERMINAL, outcome.skipped)
    if json:
        print_json(
            {
                "study": name,
                "question": question,
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
    from edgecat.study.words import tr

    if as_json:
        print_json({name: tr(question) for name, (_, question) in STUDIES.items()})
        return
    for name, (_, question) in STUDIES.items():
        say(f"{name:<14} {tr(question)}")
