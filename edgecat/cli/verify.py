"""`edgecat verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecat.cli.options.common import Json, ModelToo

if TYPE_CHECKING:
    from edgecat.workflows.verify import Verification


def verify(
    model: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Models to compare; the first is the reference (default: the newest run's, else "
            "every form of the bundled one).",
            show_default=False,
        ),
    ] = None,
    engine: ModelToo = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Images to compare on: folders or .tar files; if they have a test/ folder, only "
            "its images are used (default: golden frames)."
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=0, help="Maximum number of images, evenly spaced; 0 for all.")
    ] = 500,
    backend: Annotated[
        list[str] | None,
        typer.Option(help="Compare only on this backend; repeatable (default: all)."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Write an HTML page with errors, agreement and the images that differ."),
    ] = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="Find the layer at which a candidate starts to drift.")
    ] = False,
    json: Json = False,
) -> None:
    """Verify that models make the same predictions on every installed backend.

    A single model is compared with its golden logits: the reference outputs stored in its card.
    With several models, or with images, the first model is the reference for the others. It may be
    the ONNX file that another was wrapped from: it is given frames as that one's card states.

    Example: `edgecat verify vgg16.safetensors vgg16.onnx --data photos/test --report verify.html`
    """
    from edgecat.cli.terminal.console import TERMINAL, print_json
    from edgecat.workflows import verify as workflow
    from edgecat_runtime.errors import GateError

    models = [*([] if engine is None else [engine]), *(model or ())]
    found = workflow.verify(
        *models, data=data, limit=limit, backends=backend or (), layers=layers, reporter=TERMINAL
    )
    print_json(found.to_dict()) if json else _show(found)
    if report is not None:
        found.write_page(report)
    if not found:
        raise GateError(
            "the models do not give the same predictions; see the failed pairs above"
            + ("" if layers else _advice(found))
        )


def _advice(found: Verification) -> str:
    if any(pair.reference != "golden" for pair in found.pairs):
        if found.fed:  # a foreign file's layers have no names to compare by
            path = found.compared[0].path
            return f". Is {found.reference} the file that {path} was made from?"
        return ". Add --layers to see where they diverge"
    return (
        ". Put the checkpoint or ONNX file it was made from first, and add --layers to "
        "see where they diverge"
    )


def _show(found: Verification) -> None:
    from edgecat.cli.terminal.console import say, table

    for item in found.compared:
        say(str(item.pair))
    if found.fed and found:  # otherwise its colour order was not found out
        path = found.compared[0].path
        say(f"{found.reference} was given frames as {path} states: {found.fed}")
        told = f"edgecat evaluate {path} DATA"
        say(f"whether it was trained on such frames, labelled images show: {told}")
    for i, drift in (found.drifts or {}).items():
        say()
        say(f"{drift.candidate} on {drift.backend} against {drift.reference}, layer by layer")
        if ".safetensors" in (found.reference.suffix, found.compared[i].path.suffix):
            say(
                "(the checkpoint is represented by its ONNX export, so export errors do not show "
                "here; the pairs above compare with PyTorch itself)"
            )
        lines = [
            (item.name, item.operator, f"{item.own:.1e}", f"{item.accumulated:.1e}")
            for item in drift.layers
        ]
        table(("layer", "operator", "own error", "accumulated"), lines)
        say(drift.verdict)
