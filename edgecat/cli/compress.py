"""`edgecat compress`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgecat.cli.options.common import Json, ModelToo, split_model
from edgecat.cli.options.from_fields import options_of
from edgecat.training.config import RANGES, TrainConfig

if TYPE_CHECKING:
    from edgecat.compression.compress import Compressed

_TUNING = ("epochs", "lr", "batch_size", "val", "seed", "threads", "device")


@options_of(
    TrainConfig,
    after="resume",
    only=_TUNING,
    panels={"data": "Fine-tuning"},
    defaults={"epochs": 5, "lr": 0.02},
    ranges=RANGES,
    settings={
        "batch_size": {"help": "number of images per batch."},
        "lr": {"help": "peak learning rate."},
        "val": {
            "help": "fraction of each class to validate on if the data has no val/ folder; use the "
            "value of the original training run."
        },
        "seed": {"help": "random seed; use that of the original training run."},
    },
)
def compress(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="CHECKPOINT DATA",
            help="A .safetensors checkpoint of a VGG (default: the newest run's, else the bundled "
            "one), and images to fine-tune on, as for train (default: prune only).",
            show_default=False,
        ),
    ] = None,
    engine: ModelToo = None,
    keep: Annotated[float, typer.Option(help="Fraction of each layer's channels to keep.")] = 0.5,
    max_loss: Annotated[
        float, typer.Option(help="Maximum drop in accuracy, in percentage points.")
    ] = 1.0,
    output: Annotated[
        Path | None,
        typer.Option(
            help="File to write (default: NAME.pruned.safetensors next to the checkpoint)."
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue an interrupted command; repeat its other arguments.",
            show_default=False,
        ),
    ] = False,
    json: Json = False,
    **options: Any,
) -> None:
    """Prune channels of a VGG and fine-tune the result.

    The smaller checkpoint can be exported, verified and served like any other. With
    images, it is only written if accuracy drops by at most --max-loss.

    Example: `edgecat compress runs/pets/vgg16.safetensors photos/ --keep 0.5`
    """
    from edgecat.cli.terminal.console import print_json, progress, warn
    from edgecat.cli.terminal.epochs import EpochLines
    from edgecat.compression.compress import compress as run_compression
    from edgecat.training.interruption import Interrupted
    from edgecat.workflows.models import model_to_look_into

    given, data = split_model(paths, engine)
    checkpoint = model_to_look_into(given)
    target = output or _beside(checkpoint)
    _check_output(target, checkpoint)
    recipe = None
    if data:
        recipe = TrainConfig(data=tuple(map(str, data)), **options)
    else:
        warn(
            "no images given: the network is pruned but neither fine-tuned nor evaluated, "
            "and its accuracy will drop"
        )
    lines = EpochLines(options["epochs"], silent=json)
    try:
        with lines, progress(0, "evaluating") as advance:
            done = run_compression(
                checkpoint,
                target,
                keep=keep,
                recipe=recipe,
                max_loss=max_loss,
                resume=resume,
                watcher=lines,
                on_batch=advance,
            )
    except Interrupted as interrupted:
        typer.echo("interrupted; saved. Repeat the command with --resume to continue", err=True)
        raise typer.Exit(interrupted.exit_code) from interrupted
    if json:
        print_json(done.plain())
    else:
        _show(done)


def _beside(checkpoint: Path) -> Path:
    """The default output: next to the checkpoint, or here for the bundled one."""
    from edgecat.pretrained import shipped

    folder = Path() if shipped(checkpoint) else checkpoint.parent
    return folder / f"{checkpoint.stem}.pruned.safetensors"


def _check_output(output: Path, checkpoint: Path) -> None:
    from edgecat_runtime.errors import UserError

    if output.suffix != ".safetensors":
        raise UserError(f"--output {output} does not end in .safetensors; expected a checkpoint")
    if output.resolve() == checkpoint.resolve():
        raise UserError(f"--output {output} is the checkpoint itself. Choose another file")


def _show(done: Compressed) -> None:
    from edgecat.cli.terminal.console import say, table

    before, after = done.before, done.after
    rows = [
        ["parameters", f"{before.parameters:,}", f"{after.parameters:,}"],
        ["MMACs per frame", f"{before.macs / 1e6:,.1f}", f"{after.macs / 1e6:,.1f}"],
    ]
    if before.accuracy is not None and after.accuracy is not None:
        rows.append(["accuracy", f"{before.accuracy:.2%}", f"{after.accuracy:.2%}"])
    table(["", "before", "after"], rows)
    say()
    say(f"widths {' '.join(map(str, done.layers))}")
    checked = f"  evaluated on {done.n:,} validation images" if done.n else ""
    say(f"{done.output}{checked}")
