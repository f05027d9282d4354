"""`edgecat export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    checkpoint: Annotated[
        Path | None,
        typer.Argument(help="A .safetensors checkpoint; default: the newest run's."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="The ONNX file; default: beside the checkpoint."),
    ] = None,
) -> None:
    """Export a checkpoint to ONNX; nothing is written that answers differently from PyTorch.

    Example: `edgecat export runs/pets/vgg16.safetensors --output vgg16.onnx`
    """
    from edgecat.checkpoint import load_checkpoint
    from edgecat.cli.console import progress, say
    from edgecat.cli.models import default_model
    from edgecat_export.graph import export_onnx
    from edgecat_runtime.errors import UserError

    checkpoint = checkpoint or default_model((".safetensors",))
    output = output or checkpoint.with_suffix(".onnx")
    if output.suffix != ".onnx":
        raise UserError(f"--output {output} has no .onnx ending; expected a .onnx file")
    with progress(3, "reading the checkpoint") as advance:
        model, card = load_checkpoint(checkpoint)
        advance(1, "exporting and checking")
        report = export_onnx(model, card, output)
        advance(2)
    say(f"{output}  {output.stat().st_size / 1e6:.1f} MB")
    for line in report:
        say(f"  {line}")
