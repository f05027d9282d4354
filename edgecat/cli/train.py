"""`edgecat train`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgecat.cli.options.common import Json
from edgecat.cli.options.from_config import config_from

if TYPE_CHECKING:
    from edgecat.training.config import TrainConfig
    from edgecat.training.run_folder import TrainResult

_RATES = 100

_ARCHITECTURES = (
    "alexnet, googlenet, inception_v3, resnet18, resnet34, resnet50, vgg11, vgg13, vgg16 or vgg19."
)


def _network(**options: Any) -> Any:
    return typer.Option(rich_help_panel="The network", **options)


def _transfer(**options: Any) -> Any:
    return typer.Option(rich_help_panel="Starting from other weights", **options)


def _recipe(**options: Any) -> Any:
    return typer.Option(rich_help_panel="The recipe", **options)


def _run(*names: str, **options: Any) -> Any:
    return typer.Option(*names, rich_help_panel="The run", **options)


def train(
    context: typer.Context,
    data: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of class folders, or .tar files with the same inside."),
    ] = None,
    arch: Annotated[str, _network(help=_ARCHITECTURES)] = "vgg16",
    size: Annotated[int, _network(help="Height and width of its input, in pixels.")] = 64,
    progressive: Annotated[
        str,
        _network(help="Sizes and epochs to train at, 64:10,96:5,128:2.", show_default=False),
    ] = "",
    width: Annotated[float, _network(help="Channel multiplier.")] = 0.5,
    head: Annotated[str, _network(help="gap (global average pooling) or dense.")] = "gap",
    batch_norm: Annotated[bool, _network(help="Normalise after each convolution.")] = True,
    dropout: Annotated[
        float | None, _network(help="Rate in the head; default: as published, 0 in a VGG's gap.")
    ] = None,
    activation: Annotated[str, _network(help="relu, leaky_relu, sigmoid, tanh or gelu.")] = "relu",
    fit: Annotated[
        str, _network(help="How photographs meet the input: crop, letterbox or stretch.")
    ] = "crop",
    epochs: Annotated[int, _recipe(help="Passes over the pictures.")] = 20,
    batch_size: Annotated[int, _recipe(help="Pictures a step.")] = 64,
    accumulate: Annotated[int, _recipe(help="Batches whose gradients make one step.")] = 1,
    optimizer: Annotated[
        str,
        _recipe(
            help="gd, sgd, momentum, nag (Nesterov's), adagrad, rmsprop, adadelta, adam, adamw "
            "or nadam."
        ),
    ] = "nag",
    lr: Annotated[
        float | None, _recipe(help="Peak learning rate; default: the optimiser's own.")
    ] = None,
    schedule: Annotated[
        str, _recipe(help="Of the rate: cosine, one-cycle, linear, step or constant.")
    ] = "cosine",
    clip: Annotated[float | None, _recipe(help="Longest gradient that a step takes.")] = None,
    weight_decay: Annotated[float, _recipe(help="Of weights, not of biases.")] = 5e-4,
    warmup: Annotated[float, _recipe(help="Share of the steps while the rate climbs.")] = 0.1,
    label_smoothing: Annotated[float, _recipe(help="0 to 0.9.")] = 0.1,
    ema: Annotated[float, _recipe(help="Decay of the weights' average; 0: none.")] = 0.0,
    augment: Annotated[bool, _recipe(help="Random crop, flip and colour.")] = True,
    erase: Annotated[float, _recipe(help="Chance that a rectangle becomes noise.")] = 0.0,
    mixup: Annotated[float, _recipe(help="Blend pictures in pairs: alpha, such as 0.2.")] = 0.0,
    cutmix: Annotated[
        float, _recipe(help="Paste rectangles from picture to picture: alpha, such as 1.")
    ] = 0.0,
    teacher: Annotated[
        Path | None, _recipe(help="A checkpoint whose answers are learnt beside the labels.")
    ] = None,
    teacher_temperature: Annotated[float, _recipe(help="Softens its answers.")] = 4.0,
    teacher_weight: Annotated[float, _recipe(help="Share of its answers in the loss.")] = 0.9,
    weights: Annotated[
        str, _transfer(help="imagenet, a .safetensors checkpoint or a .pth file of weights.")
    ] = "",
    freeze: Annotated[
        str, _transfer(help="Stages that do not learn: a number from the input, or features.")
    ] = "0",
    unfreeze_at: Annotated[
        int | None, _transfer(help="Epoch in which they begin to learn.")
    ] = None,
    lr_decay: Annotated[
        float, _transfer(help="Rate of each stage relative to the next towards the head.")
    ] = 1.0,
    val: Annotated[float, _recipe(help="Share to validate on where no val/ folder is.")] = 0.1,
    seed: Annotated[int, _recipe(help="Of weights, split, order and augmentation.")] = 0,
    patience: Annotated[
        int | None, _recipe(help="Stop after so many epochs without a better one.")
    ] = None,
    name: Annotated[
        str, _run(help="Folder of the run; default: architecture and time.", show_default=False)
    ] = "",
    output: Annotated[Path, _run(help="Folder of the runs.")] = Path("runs"),
    resume: Annotated[
        Path | None, _run(help="Folder of an interrupted run: go on as it was started.")
    ] = None,
    find_lr: Annotated[
        bool,
        _run(
            "--find-lr",
            help="Train nothing: try learning rates, suggest one, and plot the losses.",
            show_default=False,
        ),
    ] = False,
    tensorboard: Annotated[
        bool, _run("--tensorboard", help="Write event files too.", show_default=False)
    ] = False,
    threads: Annotated[int | None, _run(help="Of torch; default: one a core.")] = None,
    device: Annotated[str, _run(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    precision: Annotated[
        str, _run(help="auto (what the device is fast in), fp32, bf16 or fp16.")
    ] = "auto",
    augment_on: Annotated[
        str, _run(help="Where --augment works: cpu, device, or auto: there on GPUs.")
    ] = "auto",
    compiled: Annotated[
        bool, _run("--compile", help="Fuse the step's kernels first.", show_default=False)
    ] = False,
    stream: Annotated[
        bool, _run("--stream", help="Open shards when their turn comes.", show_default=False)
    ] = False,
    cache: Annotated[
        str, _run(help="Keep all images decoded: none, memory, or device (on the GPU).")
    ] = "none",
    json: Json = False,
) -> None:
    """Train a classifier on labelled pictures.

    The folder of the run gets the best epoch's checkpoint, metrics.csv, curves.png and
    confusion.png. Ctrl-C saves; --resume goes on to the very same weights.

    Example: `edgecat train photos/ --epochs 10`
    """
    from edgecat.cli.terminal.epochs import EpochLines
    from edgecat.training.distributed import started_by_torchrun
    from edgecat.training.interruption import Interrupted
    from edgecat.training.loop import train as run_training
    from edgecat.training.run_folder import read_config

    if resume is not None:
        _check_resume(context)
        config = read_config(resume)
    else:
        _check_weights(context, weights)
        config = config_from(context, data=_checked_data(data))
    if find_lr:
        _find_rate(config, as_json=json)
        return
    leader = started_by_torchrun().leader
    remedy = "--threads 1 helps" if resume is None else "close other programs"
    if config.threads == 1:
        remedy = ""
    try:
        with EpochLines(config.epochs, silent=json, remedy=remedy) as lines:
            result = run_training(config, resume=resume, watcher=lines)
    except Interrupted as interrupted:
        if leader:
            typer.echo(str(interrupted), err=True)
        raise typer.Exit(interrupted.exit_code) from interrupted
    if leader:
        _report(result, as_json=json)


def _checked_data(data: list[Path] | None) -> tuple[str, ...]:
    """The paths as text."""
    from edgecat_runtime.errors import UserError

    if not data:
        raise UserError(
            "no pictures named. Give folders of class folders or .tar files: edgecat train photos/"
        )
    return tuple(map(str, data))


def _check_resume(context: typer.Context) -> None:
    """Refuse options beside `--resume`: a resumed run goes on as it was started."""
    from edgecat_runtime.errors import UserError

    given = [
        name for name in context.params if name not in ("resume", "json") and _given(context, name)
    ]
    if given:
        raise UserError(
            f"--resume goes on as the run was started; leave out {', '.join(sorted(given))}"
        )


def _check_weights(context: typer.Context, weights: str) -> None:
    """Refuse options that describe the network beside a checkpoint, which does so itself."""
    from edgecat_runtime.errors import UserError

    described = ("width", "head", "batch_norm", "activation")
    given = [name for name in described if _given(context, name)]
    if given and weights.endswith(".safetensors"):
        names = ", ".join("--" + name.replace("_", "-") for name in given)
        raise UserError(f"{weights} says itself what network it holds. Leave out {names}")


def _given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _find_rate(config: TrainConfig, *, as_json: bool) -> None:
    """Sweep the learning rate, print the suggestion, and leave table and plot in a folder."""
    from datetime import datetime

    from edgecat.cli.terminal.console import print_json, progress, say
    from edgecat.training.finder import PLOT, TABLE, find_learning_rate, save_sweep
    from edgecat.training.run_folder import new_folder

    name = config.name or f"rates-{config.arch}-{datetime.now():%Y%m%d-%H%M%S}"
    folder = new_folder(replace(config, name=name))
    try:
        with progress(_RATES, "learning rates") as advance:
            sweep = find_learning_rate(config, steps=_RATES, on_step=advance)
    except BaseException:
        folder.rmdir()
        raise
    save_sweep(sweep, folder)
    if as_json:
        figures = {"learning_rate": sweep.suggestion, "steps": len(sweep.rates)}
        print_json({**figures, "table": str(folder / TABLE), "plot": str(folder / PLOT)})
        return
    say(f"tried {len(sweep.rates)} rates from {sweep.rates[0]:g} to {sweep.rates[-1]:.2g}")
    say(f"suggested: --lr {sweep.suggestion:g}  ({folder / PLOT})")


def _report(result: TrainResult, *, as_json: bool) -> None:
    """Print what a run gave."""
    from edgecat.cli.terminal.console import print_json, say

    if as_json:
        figures = {
            "checkpoint": str(result.checkpoint),
            "epochs": len(result.history),
            "best_epoch": result.best.epoch,
            "accuracy": result.evaluation.accuracy,
            "loss": result.evaluation.loss,
            "n": result.evaluation.n,
            "skipped": len(result.skipped),
        }
        print_json(figures)
        return
    if count := len(result.skipped):
        say("1 file was left out" if count == 1 else f"{count:,} files were left out")
    say(
        f"{result.checkpoint}  {result.evaluation.accuracy:.2%} of {result.evaluation.n:,} "
        f"validation pictures (epoch {result.best.epoch})"
    )
