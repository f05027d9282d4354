"""Options shared by several commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

MODEL = "Model"


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
        help="Model to serve (default: the newest run's, else the bundled one, in the form that is "
        "fastest here).",
        show_default=False,
        rich_help_panel=MODEL,
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
        help="Log what happens to standard error, with every backend tried, its time, and why one "
        "was chosen.",
    ),
]
