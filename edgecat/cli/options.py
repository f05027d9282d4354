"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Engine = Annotated[
    Path | None,
    typer.Option(
        help="The model; default: the newest run's, else the one that ships, in the form that is "
        "fastest here.",
        show_default=False,
    ),
]
Backend = Annotated[
    str, typer.Option(help="auto (the fastest here), onnxruntime, openvino, opencv, ...")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, ...")]
Labels = Annotated[
    Path | None,
    typer.Option(help="Other names for the classes: text, one a line.", show_default=False),
]
Rebuild = Annotated[
    bool,
    typer.Option(
        "--rebuild", help="Build an engine that does not fit this device anew, from its ONNX file."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print figures as JSON.")]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose", help="Say which backends were tried, what each took, and why one was chosen."
    ),
]
