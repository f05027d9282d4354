"""`edgecat classify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgecat.cli.options.common import Backend, Device, Engine, Json, Labels, Rebuild, Verbose


def classify(
    image: Annotated[list[Path], typer.Argument(help="Images, or folders of images.")],
    engine: Engine = None,
    backend: Backend = "auto",
    device: Device = "auto",
    labels: Labels = None,
    rebuild: Rebuild = False,
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Classify images.

    Example: `edgecat classify cat.jpg dog.jpg --engine runs/pets/vgg16.onnx`
    """
    from edgecat.cli.terminal.console import TERMINAL, print_json, say
    from edgecat.workflows import classify as workflow
    from edgecat_runtime.images import PictureError

    found = workflow.classify(
        image,
        engine,
        backend=backend,
        device=device,
        labels=labels,
        rebuild=rebuild,
        verbose=verbose,
        on_result=lambda result: None if json else say(str(result)),
        reporter=TERMINAL,
    )
    if json:
        print_json(found.to_dict())
    if found.skipped:
        raise PictureError(
            f"{len(found.skipped)} of {len(found) + len(found.skipped)} images could not be "
            "decoded; they are listed above"
        )
