"""`edgecat export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from edgecat.cli.options.common import Json, ModelToo

_GATE = "Precision and accuracy gate"
_FOREIGN = "Foreign ONNX models"
_ENGINE = "TensorRT engines"


def export(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="A .safetensors checkpoint or an .onnx file (default: the newest run's, else the "
            "bundled one).",
            show_default=False,
        ),
    ] = None,
    engine: ModelToo = None,
    to: Annotated[
        Literal["onnx", "trt", "trt-rtx"], typer.Option(help="Format to write.")
    ] = "onnx",
    precision: Annotated[
        Literal["fp32", "fp16", "int8"] | None,
        typer.Option(
            help="Precision of the exported model (default: that of the file).",
            rich_help_panel=_GATE,
        ),
    ] = None,
    calibrate: Annotated[
        list[Path] | None,
        typer.Option(
            help="Calibration images for int8: folders or .tar files.",
            rich_help_panel=_GATE,
        ),
    ] = None,
    gate: Annotated[
        list[Path] | None,
        typer.Option(
            help="Images on which to compare with fp32 (default: those under test/ in --calibrate, "
            "or a held-out fraction).",
            rich_help_panel=_GATE,
        ),
    ] = None,
    limit: Annotated[
        int,
        typer.Option(
            min=0,
            help="Maximum number of images to compare on; 0 for all.",
            rich_help_panel=_GATE,
        ),
    ] = 1000,
    output: Annotated[
        Path | None, typer.Option(help="File to write (default: next to the model).")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Text file with one label per line, in the order of the model's output (default: "
            "the names stored in the model).",
            rich_help_panel=_FOREIGN,
        ),
    ] = None,
    mean: Annotated[
        str,
        typer.Option(
            help="Mean of red, green and blue, for pixel values from 0 to 1, such as "
            "0.485,0.456,0.406.",
            rich_help_panel=_FOREIGN,
        ),
    ] = "",
    std: Annotated[
        str,
        typer.Option(
            help="Standard deviation of red, green and blue, for pixel values from 0 to 1, such as "
            "0.229,0.224,0.225.",
            rich_help_panel=_FOREIGN,
        ),
    ] = "",
    size: Annotated[
        str,
        typer.Option(
            help="Input size in pixels, such as 224 or HEIGHTxWIDTH (default: the model's own).",
            rich_help_panel=_FOREIGN,
        ),
    ] = "",
    fit: Annotated[
        Literal["crop", "letterbox", "stretch"] | None,
        typer.Option(
            help="How to fit a frame into the input (default: crop).", rich_help_panel=_FOREIGN
        ),
    ] = None,
    colour: Annotated[
        Literal["rgb", "bgr", "grey"] | None,
        typer.Option(
            help="Colour order that the model expects (default: rgb, or grey for one channel).",
            rich_help_panel=_FOREIGN,
        ),
    ] = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            help="Backend to verify the exported file on; repeatable (default: all that are "
            "installed).",
            rich_help_panel=_GATE,
        ),
    ] = None,
    batch: Annotated[
        str,
        typer.Option(
            help="Minimum, optimum and maximum batch size; the engine is tuned for the optimum.",
            rich_help_panel=_ENGINE,
        ),
    ] = "1,1,8",
    workspace: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Workspace in MiB, in addition to the weights (default: half of the GPU's free "
            "memory).",
            rich_help_panel=_ENGINE,
        ),
    ] = None,
    hardware_compatible: Annotated[
        bool,
        typer.Option(
            "--hardware-compatible",
            help="Build an engine that runs on any GPU since Ampere; not for Jetson.",
            rich_help_panel=_ENGINE,
        ),
    ] = False,
    version_compatible: Annotated[
        bool,
        typer.Option(
            "--version-compatible",
            help="Build an engine that later TensorRT versions can also run.",
            rich_help_panel=_ENGINE,
        ),
    ] = False,
    refit: Annotated[
        bool,
        typer.Option("--refit", help="Make the weights replaceable.", rich_help_panel=_ENGINE),
    ] = False,
    strip: Annotated[
        bool,
        typer.Option(
            "--strip",
            help="Omit the weights; the engine cannot run until it is refitted.",
            rich_help_panel=_ENGINE,
        ),
    ] = False,
    device: Annotated[
        str,
        typer.Option(
            help="GPU to build the engine on: auto, cuda, cuda:1, ...",
            rich_help_panel=_ENGINE,
        ),
    ] = "auto",
    sign: Annotated[
        Path | None,
        typer.Option(
            help="Private key to sign the written files with (see edgecat key new).",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Export to ONNX or TensorRT; refuses a model whose predictions drift beyond the limit.

    Example: `edgecat export vgg16.safetensors --precision int8 --calibrate photos/`
    """
    from edgecat.cli.terminal.console import TERMINAL, print_json, say
    from edgecat.workflows.export import ExportRequest
    from edgecat.workflows.export_sources import ForeignModel
    from edgecat.workflows.models import model_to_export, read_labels
    from edgecat_export.engine.builder import EngineOptions

    smallest, usual, largest = _batches(batch)
    names = read_labels(labels) if labels else None
    colours = _three(mean, "--mean"), _three(std, "--std")
    request = ExportRequest(
        source=model_to_export(file or engine),
        to=to,
        precision=precision,
        output=output,
        foreign=ForeignModel(names, colours[0], colours[1], _size(size), fit, colour),
        calibrate=tuple(calibrate or ()),
        gate=tuple(gate or ()),
        limit=limit,
        backends=tuple(backend or ()),
        key=sign,
        engine=EngineOptions(
            min_batch=smallest,
            opt_batch=usual,
            max_batch=largest,
            workspace=workspace and workspace << 20,
            hardware_compatible=hardware_compatible,
            version_compatible=version_compatible,
            refit=refit,
            strip=strip,
            gpu=_gpu(device),
        ),
    )
    result = request.run(TERMINAL)
    if json:
        print_json(result.to_dict())
    else:
        say(str(result))


def _three(text: str, option: str) -> tuple[float, float, float] | None:
    from edgecat_runtime.errors import UserError

    if not text:
        return None
    try:
        red, green, blue = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(
            f"{option} {text}; expected three numbers for red, green and blue in "
            f"0..1, such as {option} 0.5,0.5,0.5"
        ) from error
    return red, green, blue


def _size(text: str) -> tuple[int, int] | None:
    from edgecat_runtime.errors import UserError

    if not text:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise UserError(f"--size {text}; expected pixels, such as 224 or 240x320 (height x width)")
    return int(parts[0]), int(parts[-1])


def _batches(text: str) -> tuple[int, int, int]:
    """Parse `1,1,8`: the minimum, optimal and maximum batch size."""
    from edgecat_runtime.errors import UserError

    parts = text.split(",")
    if len(parts) != 3 or not all(part.strip().isdigit() for part in parts):
        raise UserError(f"--batch {text}; expected minimum, optimal and maximum, such as 1,1,8")
    smallest, usual, largest = map(int, parts)
    return smallest, usual, largest


def _gpu(device: str) -> int:
    """The number of the GPU to build on: 1 for `cuda:1`."""
    from edgecat_runtime.backends.base import gpu_number, split_device
    from edgecat_runtime.errors import UserError

    if device != "auto" and split_device(device)[0] != "cuda":
        raise UserError(f"--device is {device!r}; expected auto, cuda, cuda:1, ...")
    return gpu_number(device)
