"""`edgecat train`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgecat.cli.options.common import Json, LogVerbose
from edgecat.cli.options.config_file import ConfigFile
from edgecat.cli.options.from_fields import options_of
from edgecat.training.config import ARCHITECTURES, CHOICES, RANGES, TrainConfig

if TYPE_CHECKING:
    from edgecat.training.run_folder import TrainResult

_RATES = 100

_PANELS = {
    "arch": "Network",
    "epochs": "Recipe",
    "weights": "Transfer learning",
    "val": "Recipe",
    "name": "Run",
    "tensorboard": "Run",
}


@options_of(
    TrainConfig,
    after="data",
    without=("data",),
    panels=_PANELS,
    choices=CHOICES,
    suggestions={"arch": ARCHITECTURES},
    ranges=RANGES,
    types={"output": Path, "teacher": Path | None},
    settings={"compiled": {"names": ("--compile",)}},
)
def train(
    context: typer.Context,
    data: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of class folders, or .tar files with the same layout."),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Resume the interrupted run in this folder, with its own options.",
            rich_help_panel="Run",
        ),
    ] = None,
    find_lr: Annotated[
        bool,
        typer.Option(
            "--find-lr",
            help="Do not train: sweep the learning rate, suggest one and plot the losses.",
            show_default=False,
            rich_help_panel="Run",
        ),
    ] = False,
    config: ConfigFile = None,
    verbose: LogVerbose = False,
    json: Json = False,
    **options: Any,
) -> None:
    """Train an image classifier.

    The run's folder receives the checkpoint of the best epoch, metrics.csv, curves.png,
    confusion.png and config.json. Ctrl-C saves the state, and --resume continues; on a CPU, the
    weights are bit-identical to those of an uninterrupted run.

    Example: `edgecat train photos/ --epochs 10`
    """
    from edgecat.cli.terminal.epochs import EpochLines
    from edgecat.training.distributed import started_by_torchrun
    from edgecat.training.interruption import Interrupted
    from edgecat.training.loop import train as run_training
    from edgecat.training.run_folder import read_config

    if resume is not None:
        _check_resume(context)
        chosen, decided = read_config(resume), ""
        if options["threads"] is not None:
            chosen = replace(chosen, threads=options["threads"])
    else:
        chosen, decided = _new_run(context, data, options)
    if find_lr:
        _find_rate(chosen, as_json=json)
        return
    leader = started_by_torchrun().leader
    remedy = "" if chosen.threads == 1 else "--threads 1 helps, also with --resume"
    try:
        lines = EpochLines(chosen.epochs, silent=json, remedy=remedy, advises=True)
        with lines:
            if decided and leader:
                lines.on_message(decided)
            result = run_training(chosen, resume=resume, watcher=lines)
    except Interrupted as interrupted:
        if leader:
            typer.echo(str(interrupted), err=True)
            for checkpoint in interrupted.folder.glob("*.safetensors"):
                typer.echo(f"The best epoch so far, ready to use: {checkpoint}", err=True)
        raise typer.Exit(interrupted.exit_code) from interrupted
    if leader:
        _report(result, as_json=json)


def _new_run(
    context: typer.Context, data: list[Path] | None, options: dict[str, Any]
) -> tuple[TrainConfig, str]:
    """The configuration of a new run, and what was decided where no option was given."""
    from edgecat.training.start import suited

    _check_weights(context, options["weights"])
    paths = {name: str(options[name] or "") for name in ("output", "teacher")}
    config = TrainConfig(data=_checked_data(context, data), **(options | paths))
    return suited(config, [name for name in options if _given(context, name, in_file=True)])


def _checked_data(context: typer.Context, data: list[Path] | None) -> tuple[str, ...]:
    """The paths as text, from the command line or else from the configuration file."""
    data = data or (context.default_map or {}).get("data")  # Click before 8.3 leaves it out
    if not data:
        context.fail(
            "no images given. Give folders of class folders or .tar files: edgecat train photos/"
        )
    return tuple(map(str, data))


def _check_resume(context: typer.Context) -> None:
    """Reject options given with `--resume`: a resumed run keeps its configuration.

    The number of threads may change with the machine's load.
    """
    from edgecat_runtime.errors import UserError

    kept = ("resume", "json", "threads")
    given = [name for name in context.params if name not in kept and _given(context, name)]
    if given:
        raise UserError(f"--resume keeps the run's configuration; omit {', '.join(sorted(given))}")


def _check_weights(context: typer.Context, weights: str) -> None:
    """Reject network options given with a checkpoint, which defines the network itself."""
    from edgecat_runtime.errors import UserError

    described = ("width", "head", "batch_norm", "activation")
    given = [name for name in described if _given(context, name)]
    if given and (weights == "shipped" or weights.endswith(".safetensors")):
        names = ", ".join("--" + name.replace("_", "-") for name in given)
        raise UserError(f"{weights} already defines the network. Omit {names}")


def _given(context: typer.Context, name: str, *, in_file: bool = False) -> bool:
    """Whether an option is on the command line, or with `in_file` in the configuration file."""
    source = context.get_parameter_source(name)
    places = ("COMMANDLINE", "DEFAULT_MAP") if in_file else ("COMMANDLINE",)
    return source is not None and source.name in places


def _find_rate(config: TrainConfig, *, as_json: bool) -> None:
    """Sweep the learning rate, print the suggestion, and write a table and a plot to a folder."""
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
    """Print the result of a run."""
    from edgecat.cli.terminal.console import print_json, say
    from edgecat.evaluation.curves import wilson

    low, high = wilson(result.evaluation.right, result.evaluation.n)
    if as_json:
        figures = {
            "checkpoint": str(result.checkpoint),
            "epochs": len(result.history),
            "best_epoch": result.best.epoch,
            "accuracy": result.evaluation.accuracy,
            "interval": [low, high],
            "loss": result.evaluation.loss,
            "n": result.evaluation.n,
            "skipped": len(result.skipped),
        }
        print_json(figures)
        return
    if count := len(result.skipped):
        say("1 file was skipped" if count == 1 else f"{count:,} files were skipped")
    say(
        f"{result.checkpoint}  {result.evaluation.accuracy:.2%} of {result.evaluation.n:,} "
        f"validation images (95 % interval {low:.1%} to {high:.1%}; epoch {result.best.epoch})"
    )
