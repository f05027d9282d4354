"""`edgecat camera`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgecat.cli.options import camera_follow as fleet
from edgecat.cli.options import camera_outputs as outputs
from edgecat.cli.options import camera_sources as sources
from edgecat.cli.options import camera_web
from edgecat.cli.options.common import (
    MODEL,
    Backend,
    Device,
    Engine,
    Json,
    Labels,
    Rebuild,
    Verbose,
)
from edgecat.cli.options.config_file import ConfigFile
from edgecat.cli.terminal.console import json_text, say, warn
from edgecat.cli.terminal.signals import stopped_by_signals, warnings_shown

if TYPE_CHECKING:
    from edgecat_runtime import Classifier
    from edgecat_runtime.camera.camera import Camera
    from edgecat_runtime.loop.answers import Answer
    from edgecat_runtime.pipeline import Pipeline
    from edgecat_runtime.web import WebPage


@sources.source_options_of(after="list_")
def camera(
    source: sources.Sources = None,
    name: sources.Names = None,
    list_: sources.ListCameras = False,
    give_up: sources.GiveUp = None,
    wait: sources.Wait = False,
    engine: Engine = None,
    backend: Backend = "auto",
    device: Device = "auto",
    labels: Labels = None,
    rebuild: Rebuild = False,
    reload: Annotated[
        bool,
        typer.Option(
            "--reload",
            help="Reload the model when its file changes, without interrupting the loop.",
            rich_help_panel=MODEL,
        ),
    ] = False,
    follow: fleet.Follow = None,
    follow_every: fleet.FollowEvery = 300.0,
    follow_folder: fleet.FollowFolder = None,
    board: fleet.Board = "",
    canary: fleet.Canary = None,
    canary_limit: fleet.CanaryLimit = 0.15,
    canary_frames: fleet.CanaryFrames = 100,
    build_engine: fleet.BuildEngine = None,
    headless: Annotated[
        bool,
        typer.Option(
            "--headless",
            help="Open no window, even if there is a display.",
            rich_help_panel=outputs.OUTPUTS,
        ),
    ] = False,
    output: outputs.Output = None,
    overwrite: outputs.Overwrite = False,
    predictions: outputs.PredictionsFile = None,
    events: outputs.EventsFile = None,
    snapshots: outputs.SnapshotFolder = None,
    snapshot_limit: outputs.SnapshotLimit = 1000,
    mqtt: outputs.MqttAddress = None,
    sink: outputs.OtherOutputs = None,
    web: camera_web.Web = None,
    web_control: camera_web.WebControl = False,
    web_source: camera_web.WebSource = None,
    web_name: camera_web.WebName = None,
    smooth: outputs.Smooth = None,
    enter: outputs.Enter = None,
    leave: outputs.Leave = None,
    max_frames: Annotated[
        int | None, typer.Option(min=1, help="Stop after this many frames.", show_default=False)
    ] = None,
    config: ConfigFile = None,
    verbose: Verbose = False,
    json: Json = False,
    **options: Any,
) -> None:
    """Classify a camera, a video or images, frame by frame.

    Live sources: the newest frame is classified; files: every frame. A lost live source is
    reopened until it returns. `q` or Escape closes the window, Ctrl-C stops; either way the
    recording is finished and a summary printed.

    Example: `edgecat camera --source 0 --output clip.webm --events events.jsonl`
    """
    if list_:
        return sources.show_sources(json=json)
    texts = source or ["0"]
    with stopped_by_signals() as stop, warnings_shown():
        chosen = sources.source_options(options)
        recorded = outputs.recordings(output, len(texts))
        outputs.refuse_overwriting(texts, *recorded, *(lines := (events, predictions)))
        thresholds = outputs.thresholds(enter, leave, smooth=smooth)
        page = camera_web.web_page(web, web_control, texts, web_source, web_name)
        judged = (canary, canary_limit, canary_frames)
        channel = fleet.Following(follow, follow_every, follow_folder, board, build_engine, *judged)
        opened = _opener(engine, backend, device, labels, rebuild=rebuild)
        with (
            fleet.loop_model(channel, opened, wait=wait, model=engine, reload=reload) as model,
            sources.open_cameras(texts, chosen, give_up=give_up, wait=wait, names=name) as cameras,
            model.opened(verbose=verbose) as classifier,
        ):
            sinks = outputs.sinks(
                cameras,
                recorded=recorded,
                overwrite=overwrite,
                lines=lines,
                snapshots=snapshots,
                snapshot_limit=snapshot_limit,
                mqtt=mqtt,
                others=sink or (),
                window=not headless,
            )
            pipeline = _pipeline(
                *(model, page, cameras, classifier),
                [*sinks, *model.outputs],
                smooth=smooth,
                max_frames=max_frames,
                stop=stop,
                thresholds=thresholds,
            )
            _run(pipeline, classifier, json=json, lines=lines, written=outputs.written(sinks))
    return None


def _pipeline(
    model: fleet.LoopModel,
    page: WebPage | None,
    cameras: Sequence[Camera],
    classifier: Classifier,
    sinks: Sequence[Any],
    **options: Any,
) -> Pipeline:
    """The loop, with what opens and replaces its model, and with the page, whose URL it prints."""
    from edgecat_runtime.pipeline import Pipeline

    camera_web.tell(page)
    shown = [*sinks, *([page] if page else ())]
    reopen = partial(model.opened, quiet=True)
    return Pipeline(cameras, classifier, shown, **options, reopen=reopen, reload=model.reload)


def _opener(
    engine: Path | None, backend: str, device: str, labels: Path | None, *, rebuild: bool
) -> partial[Classifier]:
    """The function that opens the model, at startup (`verbose=`) or after a failure (`quiet=`)."""
    from edgecat.cli.terminal.console import TERMINAL
    from edgecat.workflows.models import models_to_serve
    from edgecat.workflows.serving import open_classifier

    return partial(
        open_classifier,
        models_to_serve(engine),
        backend,
        device=device,
        labels=labels,
        rebuild=rebuild,
        reporter=TERMINAL,
    )


def _teller(*lines: Path | None) -> Callable[[str], None]:
    """What prints the summary: to standard error if standard output has the lines."""
    return warn if Path("-") in lines else say


def _run(
    pipeline: Pipeline,
    classifier: Classifier,
    *,
    json: bool,
    lines: Sequence[Path | None],
    written: Sequence[Path],
) -> None:
    """Run the loop and print its summary beside the `lines`, however it ends."""
    from edgecat.workflows.served import ServedModel

    served = ServedModel.of_classifier(classifier)
    answers: Counter[str] = Counter()
    try:
        with _status_line() as show:
            for answer in pipeline:
                answers[answer.smoothed.displayed] += 1
                show(answer)
    finally:
        summary = pipeline.summary
        values = {**summary.to_dict(), "answers": dict(answers), "served_by": served.to_dict()}
        text = [str(summary)]
        text += [f"frames by label: {_counted(answers)}"] if answers else []
        text += [f"recorded {', '.join(map(str, written))}"] if written else []
        _teller(*lines)(json_text(values) if json else "\n".join(text))
    if summary.failures:  # each one has been reported already
        raise typer.Exit(1)


def _counted(answers: Counter[str]) -> str:
    return ", ".join(f"{label} {count}" for label, count in answers.most_common())


@contextmanager
def _status_line() -> Iterator[Callable[[Answer], None]]:
    """Yield a function that shows a result on one terminal line; silent without a terminal."""
    if not sys.stderr.isatty():
        yield lambda answer: None
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status("waiting for the first frame") as status:
        yield lambda answer: status.update(
            Text(f"frame {answer.frame.index}   {answer.smoothed}   {answer.fps:.1f} fps")
        )
