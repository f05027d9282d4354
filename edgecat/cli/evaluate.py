"""`edgecat evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgecat.cli.options import Backend, Json, Verbose


def evaluate(
    model: Annotated[Path, typer.Argument(help="A checkpoint or an exported model.")],
    data: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of class folders, or .tar files with the same."),
    ] = None,
    calibrate: Annotated[
        list[Path] | None,
        typer.Option(
            help="Photographs, or a training run's folder for its own: set the checkpoint's "
            "temperature and the energy above which it answers unsure.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Of --calibrate; default: the checkpoint itself.", show_default=False),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Write a page with curves, robustness and the worst mistakes.", show_default=False
        ),
    ] = None,
    backend: Backend = "auto",
    threads: Annotated[int | None, typer.Option(help="Of the CPU; default: the backend's.")] = None,
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Say how good a model is on labelled pictures, and how far it can be believed.

    Where the data has a test/ folder, only its pictures count.

    Example: `edgecat evaluate runs/pets/vgg16.onnx photos/ --report evaluation.html`
    """
    from edgecat.cli.console import print_json
    from edgecat.cli.evaluating import calibrated, check_request, evaluated

    check_request(model, data, calibrate, output, report)
    figures = {}
    if calibrate:
        figures["calibration"] = calibrated(model, calibrate, output, silent=json)
    if data:
        served = output if calibrate and output else model
        figures |= evaluated(served, data, backend, threads, report, silent=json, verbose=verbose)
    if json:
        print_json(figures)
