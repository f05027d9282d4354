"""Options shared by several commands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

MODEL = "Model"
MODEL_NAMES = ("--model", "--engine")


def _log(context: typer.Context, verbose: bool) -> bool:
    """Show the log from level info up, unless EDGECAT_LOG asks for another level."""
    if verbose:
        from edgecat.cli.terminal.logs import hide_log, show_log

        show_log("info", text="%(message)s")
        context.call_on_close(hide_log)
    return verbose


Engine = Annotated[
    Path | None,
    typer.Option(
        *MODEL_NAMES,
        help="Model to serve; `shipped` is the bundled one (default: the newest run's, else the "
        "bundled one, in the form that is fastest here).",
        show_default=False,
        rich_help_panel=MODEL,
    ),
]
ModelToo = Annotated[
    Path | None,
    typer.Option(
        *MODEL_NAMES,
        help="The model, if it is not given as an argument; `shipped` is the bundled one.",
        show_default=False,
    ),
]
Backend = Annotated[
    str,
    typer.Option(
        help="Backend: auto (the fastest here), onnxruntime, openvino, opencv, ...",
        rich_help_panel=MODEL,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        help="Device to run on: auto, cpu, cuda, cuda:1, ...",
        rich_help_panel=MODEL,
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        help="Text file with other class names, one per line.",
        show_default=False,
        rich_help_panel=MODEL,
    ),
]
Rebuild = Annotated[
    bool,
    typer.Option(
        "--rebuild",
        help="Rebuild an engine that does not fit this device from its ONNX file.",
        rich_help_panel=MODEL,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
LogVerbose = Annotated[
    bool,
    typer.Option("--verbose", callback=_log, help="Log what happens, and why, to standard error."),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        callback=_log,
        help="Log to standard error, including every backend tried, its latency, and why one was "
        "chosen.",
    ),
]


def split_model(
    paths: Sequence[Path] | None, engine: Path | None
) -> tuple[Path | None, list[Path]]:
    """Split `[MODEL] DATA...` into the model, None if it is left out, and the images.

    Folders and .tar files hold images; whatever else comes first is the model, unless `--model`
    names it.

    Raises:
        UserError: there is a second model.
    """
    from edgecat.workflows.models import SHIPPED_NAME
    from edgecat_runtime.errors import UserError
    from edgecat_runtime.model.artifact import MODEL_SUFFIXES

    given = list(paths or ())
    if engine is not None or not given:
        return engine, given
    first = given[0]
    holds_images = first.is_dir() or first.suffix.lower() in ("", ".tar")
    if holds_images and str(first) != SHIPPED_NAME:
        return None, given
    second = next((path for path in given[1:] if path.suffix in MODEL_SUFFIXES), None)
    if second is not None:
        raise UserError(
            f"got two models, {first} and {second}; expected one, then images. To compare models: "
            f"edgecat verify {first} {second}"
        )
    return first, given[1:]
