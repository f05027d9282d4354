"""`edgecat compress`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecat.cli.options.common import Json

if TYPE_CHECKING:
    from edgecat.compression.compress import Compressed

_TUNING = "Fine-tuning"


def compress(
    checkpoint: Annotated[Path, typer.Argument(help="A .safetensors checkpoint of a VGG.")],
    data: Annotated[
        list[Path] | None,
        typer.Argument(help="Images to fine-tune on, as for train (default: prune only)."),
    ] = None,
    keep: Annotated[float, typer.Option(help="Fraction of each layer's channels to keep.")] = 0.5,
    max_loss: Annotated[
        float, typer.Option(help="Maximum loss of accuracy, in percentage points.")
    ] = 1.0,
    output: Annotated[
        Path | None,
        typer.Option(
            help="File to write (default: NAME.pruned.safetensors next to the checkpoint)."
        ),
    ] = None,
    epochs: Annotated[
        int, typer.Option(help="Number of passes over the images.", rich_help_panel=_TUNING)
    ] = 5,
    lr: Annotated[float, typer.Option(help="Peak learning rate.", rich_help_panel=_TUNING)] = 0.02,
    batch_size: Annotated[
        int, typer.Option(help="Number of images per batch.", rich_help_panel=_TUNING)
    ] = 64,
    val: Annotated[
        float,
        typer.Option(
            help="Fraction to validate on; use that of the checkpoint's training.",
            rich_help_panel=_TUNING,
        ),
    ] = 0.1,
    seed: Annotated[
        int,
        typer.Option(
            help="Random seed; use that of the checkpoint's training.", rich_help_panel=_TUNING
        ),
    ] = 0,
    threads: Annotated[
        int | None,
        typer.Option(
            help="Number of PyTorch threads (default: one per core).", rich_help_panel=_TUNING
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="Device: auto, cpu, cuda, cuda:1, ...", rich_help_panel=_TUNING)
    ] = "auto",
    json: Json = False,
) -> None:
    """Prune channels of a VGG and fine-tune the result.

    The smaller checkpoint can be exported, verified and served like any other. It is only written
    if the accuracy stays within --max-loss.

    Example: `edgecat compress runs/pets/vgg16.safetensors photos/ --keep 0.5`
    """
    from edgecat.cli.terminal.console import print_json, progress, warn
    from edgecat.cli.terminal.epochs import EpochLines
    from edgecat.compression.compress import compress as run_compression
    from edgecat.training.config import TrainConfig

    target = output or checkpoint.with_name(f"{checkpoint.stem}.pruned.safetensors")
    _check_output(target, checkpoint)
    recipe = None
    if data:
        recipe = TrainConfig(
            data=tuple(map(str, data)),
            epochs=epochs,
            lr=lr,
            batch_size=batch_size,
            val=val,
            seed=seed,
            threads=threads,
            device=device,
        )
    else:
        warn(
            "no pictures are named: the network is pruned but neither fine-tuned nor checked, "
            "and will answer worse"
        )
    with EpochLines(epochs, silent=json) as lines, progress(0, "evaluating") as advance:
        done = run_compression(
            checkpoint,
            target,
            keep=keep,
            recipe=recipe,
            max_loss=max_loss,
            watcher=lines,
            on_batch=advance,
        )
    if json:
        print_json(done.plain())
    else:
        _show(done)


def _check_output(output: Path, checkpoint: Path) -> None:
    from edgecat_runtime.errors import UserError

    if output.suffix != ".safetensors":
        raise UserError(f"--output {output} has no .safetensors ending; expected a checkpoint")
    if output.resolve() == checkpoint.resolve():
        raise UserError(f"--output {output} is the checkpoint itself. Name another file")


def _show(done: Compressed) -> None:
    from edgecat.cli.terminal.console import say, table

    before, after = done.before, done.after
    rows = [
        ["parameters", f"{before.parameters:,}", f"{after.parameters:,}"],
        ["MMACs a frame", f"{before.macs / 1e6:,.1f}", f"{after.macs / 1e6:,.1f}"],
    ]
    if before.accuracy is not None and after.accuracy is not None:
        rows.append(["accuracy", f"{before.accuracy:.2%}", f"{after.accuracy:.2%}"])
    table(["", "before", "after"], rows)
    say()
    say(f"widths {' '.join(map(str, done.layers))}")
    checked = f"  checked on {done.n:,} validation pictures" if done.n else ""
    say(f"{done.output}{checked}")
