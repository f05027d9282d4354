"""`edgecat benchmark`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecat.cli.options.common import Json, ModelToo

if TYPE_CHECKING:
    from edgecat_runtime.backends import BackendEntry
    from edgecat_runtime.benchmark.measuring import Result


def benchmark(
    model: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Checkpoints, ONNX files or engines (default: the newest run's, else the bundled "
            "one).",
            show_default=False,
        ),
    ] = None,
    engine: ModelToo = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            help="Backend, such as opencv or onnxruntime:cuda, or all; repeatable (default: the "
            "fastest for each model).",
            show_default=False,
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="Device: auto, cpu, cuda, cuda:1, ...")] = "auto",
    batch: Annotated[int, typer.Option(min=1, help="Number of frames per batch.")] = 1,
    seconds: Annotated[
        float, typer.Option(min=0.1, help="Seconds to measure each model for, after its warm-up.")
    ] = 5.0,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of CPU threads (default: chosen by each backend).",
            show_default=False,
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Plot the latency distributions to a .png file.")
    ] = None,
    json: Json = False,
) -> None:
    """Measure the throughput and latency of models on this machine.

    Times are host to host: from preprocessed frames in memory to logits in memory, transfers
    included. Each model is warmed up until its latency is steady. Several models are measured in
    alternation, under the same conditions; the last column gives the speed relative to the first.

    Example: `edgecat benchmark vgg16.onnx vgg16.int8.onnx --plot latency.png`
    """
    from edgecat.cli.terminal.console import print_json, progress, warn
    from edgecat_runtime.benchmark.measuring import ROUNDS, measure
    from edgecat_runtime.benchmark.opening import opened

    if plot is not None:
        _check_plot(plot)
    models = [
        (path, _entries(path, name, device, threads))
        for path in _paths(model or (), engine)
        for name in backend or ["auto"]
    ]
    with (
        opened(models, batch=batch, threads=threads, skipped=warn) as subjects,
        progress(len(subjects) + ROUNDS, "measuring") as advance,
    ):
        results = measure(subjects, batch=batch, seconds=seconds, advance=advance)
    for result in results:
        if not result.steady:
            warn(f"{result.model} on {result.backend} did not stabilise: close other programs")
    if json:
        print_json([result.to_dict() for result in results])
    else:
        _print(results)
    if plot is not None:  # last: a full disk must not lose the results
        _draw(results, plot)


def _paths(models: Sequence[Path], engine: Path | None) -> list[Path]:
    """The files to measure: of the bundled model, every form that serves."""
    from edgecat.workflows.models import models_to_serve

    given: list[Path | None] = [*models, *([] if engine is None else [engine])]
    return [path for each in given or [None] for path in models_to_serve(each)]


def _entries(path: Path, name: str, device: str, threads: int | None) -> Sequence[BackendEntry]:
    """The places to run a model that one `--backend` value stands for."""
    from edgecat.cli.terminal.console import warn
    from edgecat.workflows.models import openable_backends
    from edgecat_runtime import Classifier
    from edgecat_runtime.backends import backend_entries

    openable_backends(path)  # validates the path, and supports checkpoints
    name, _, its_device = name.partition(":")
    wanted, device = ("auto" if name == "all" else name), its_device or device
    entries = backend_entries(path, name=wanted, device=device)
    if name != "auto" or len(entries) == 1:
        return entries
    with Classifier.open(path, device=device, threads=threads) as best:
        warn(f"{path}: {best.choice}")
        return backend_entries(path, name=best.backend, device=best.device)


def _print(results: Sequence[Result]) -> None:
    from edgecat.cli.terminal.console import say, table

    shown = ("mean", "p50", "p90", "p99")
    staged = [
        stage for stage in ("preprocess", "gpu") if any(stage in r.stages_ms for r in results)
    ]
    header = ["model", "backend", "precision", "fps", *(f"{name} ms" for name in (*shown, *staged))]
    rows = [
        [
            *(r.model, r.backend, r.precision, f"{r.fps:.1f}"),
            *(f"{r.latency_ms[name]:.2f}" for name in shown),
            *(f"{r.stages_ms[name]:.2f}" if name in r.stages_ms else "-" for name in staged),
            *(f"{r.memory_mb:.0f}", f"{r.speed:.2f}x"),
        ]
        for r in results
    ]
    table([*header, "memory MB", "speed"], rows)
    for device in dict.fromkeys(result.device for result in results):
        say(f"batch {results[0].batch} on {device}")


def _check_plot(path: Path) -> None:
    """Validate `--plot` before minutes of measuring."""
    from edgecat_runtime.errors import BackendMissing, UserError

    if path.suffix != ".png":
        raise UserError(f"--plot {path} does not end in .png; expected a .png file")
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise BackendMissing(
            f"--plot needs matplotlib, which cannot be loaded ({error}): pip install "
            "'edgecat[report]'"
        ) from error


def _draw(results: Sequence[Result], path: Path) -> None:
    """Cumulative latency distributions, one line per result."""
    import numpy as np
    from matplotlib.figure import Figure

    from edgecat_runtime.system.atomic import atomic_path

    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    for result in results:
        times = np.sort(result.samples_ms)
        label = f"{result.model}, {result.backend}: {result.fps:.1f} frames/s"
        axes.step(times, 100 * np.arange(1, len(times) + 1) / len(times), where="post", label=label)
    axes.set_xscale("log")
    axes.set_xlabel(f"end-to-end latency of a batch of {results[0].batch} (ms)")
    axes.set_ylabel("batches completed (%)")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(frameon=False)
    axes.set_title(results[0].device, fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
