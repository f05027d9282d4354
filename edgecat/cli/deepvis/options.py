"""Options that the commands of `edgecat deepvis` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgecat.cli.options.common import MODEL_NAMES

Model = Annotated[
    Path | None,
    typer.Option(
        *MODEL_NAMES,
        help="A .safetensors checkpoint, or `shipped` (default: the newest run's, else the bundled "
        "one).",
        show_default=False,
    ),
]
Layers = Annotated[
    list[str] | None,
    typer.Option(
        help="A layer or a pattern such as 'features.*'; repeatable (default: all activations and "
        "the logits).",
        show_default=False,
    ),
]
Units = Annotated[
    str | None,
    typer.Option(
        help="Units of each layer, such as 37 or 0-15 (default: all).", show_default=False
    ),
]
Device = Annotated[str, typer.Option(help="Device: cpu, cuda, cuda:1, ...")]
