"""`edgecat classify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgecat.cli.options import Backend, Device, Engine, Json, Labels, Rebuild, Verbose


def classify(
    image: Annotated[list[Path], typer.Argument(help="Pictures, or folders of them.")],
    engine: Engine = None,
    backend: Backend = "auto",
    device: Device = "auto",
    labels: Labels = None,
    rebuild: Rebuild = False,
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Say what is in pictures.

    Example: `edgecat classify cat.jpg dog.jpg --engine runs/pets/vgg16.onnx`
    """
    from edgecat.cli.console import print_json, say, warn
    from edgecat.cli.models import models_to_serve
    from edgecat.cli.serving import open_classifier
    from edgecat_runtime.pictures import PICTURE_SUFFIXES, PictureError, read_picture

    paths: list[Path] = []
    for path in image:
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
        paths += inside if path.is_dir() else [path]
    answers: list[dict[str, object]] = []
    failed: list[PictureError] = []
    with open_classifier(
        engine or models_to_serve(),
        backend,
        device=device,
        labels=labels,
        rebuild=rebuild,
        verbose=verbose,
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
                    "label": prediction.label,
                    "confidence": prediction.confidence,
                    "probabilities": prediction.probabilities,
                }
            )
            if not json:
                say(f"{path}  {prediction}")
    if json:
        print_json(answers)
    if not paths:
        raise PictureError(
            f"{', '.join(map(str, image))} holds no pictures; expected "
            f"{' '.join(PICTURE_SUFFIXES)}. Check the path"
        )
    if failed and len(paths) == 1:
        raise failed[0]
    if failed:
        raise PictureError(
            f"{len(failed)} of {len(paths)} pictures could not be read; they are named above"
        )
