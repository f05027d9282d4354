"""`edgecat classify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecat.cli.options.common import Backend, Device, Engine, Json, Labels, Rebuild, Verbose

if TYPE_CHECKING:
    from edgecat_runtime.images import PictureError


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
    from edgecat.cli.terminal.console import TERMINAL, print_json, say, warn
    from edgecat.workflows.models import models_to_serve
    from edgecat.workflows.serving import open_classifier
    from edgecat_runtime.images import PictureError, read_picture

    paths = _paths(image)
    answers: list[dict[str, object]] = []
    failed: list[PictureError] = []
    with open_classifier(
        engine or models_to_serve(),
        backend,
        device=device,
        labels=labels,
        rebuild=rebuild,
        verbose=verbose,
        reporter=TERMINAL,
    ) as model:
        for path in paths:
            try:
                prediction = model.classify(read_picture(path))
            except PictureError as error:
                failed.append(error)
                if len(paths) > 1:
                    warn(f"skipped: {error}")
                continue
            answers.append(
                {
                    "source": str(path),
                    "label": prediction.displayed,
                    "confidence": prediction.confidence,
                    "probabilities": prediction.probabilities,
                }
            )
            if not json:
                say(f"{path}  {prediction}")
    if json:
        print_json(answers)
    _check(image, paths, failed)


def _paths(named: list[Path]) -> list[Path]:
    """The image files, including those inside the folders."""
    from edgecat_runtime.images import PICTURE_SUFFIXES

    paths: list[Path] = []
    for path in named:
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
        paths += inside if path.is_dir() else [path]
    return paths


def _check(named: list[Path], paths: list[Path], failed: list[PictureError]) -> None:
    from edgecat_runtime.images import PICTURE_SUFFIXES, PictureError

    if not paths:
        raise PictureError(
            f"{', '.join(map(str, named))} contains no images; expected "
            f"{' '.join(PICTURE_SUFFIXES)}. Check the path"
        )
    if failed and len(paths) == 1:
        raise failed[0]
    if failed:
        raise PictureError(
            f"{len(failed)} of {len(paths)} images could not be read; see the errors above"
        )
