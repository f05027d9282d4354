"""`edgecat camera`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecat.cli.options import camera_outputs as outputs
from edgecat.cli.options import camera_sources as sources
from edgecat.cli.options import camera_web
from edgecat.cli.options.common import Backend, Device, Engine, Json, Labels, Rebuild, Verbose
from edgecat.cli.terminal.console import json_text, say, warn
from edgecat.cli.terminal.signals import stopped_by_signals, warnings_shown

if TYPE_CHECKING:
    from edgecat_runtime import Classifier
    from edgecat_runtime.loop.answers import Answer
    from edgecat_runtime.pipeline import Pipeline


def camera(
    source: sources.Sources = None,
    list_: sources.ListCameras = False,
    width: sources.Width = 0,
    height: sources.Height = 0,
    fps: sources.Fps = 0.0,
    rotate: sources.Rotate = "0",
    flip: sources.Flip = None,
    roi: sources.Roi = None,
    realtime: sources.Realtime = False,
    transport: sources.TransportOption = "tcp",
    stall: sources.Stall = 5.0,
    frozen: sources.Frozen = 60.0,
    give_up: sources.GiveUp = None,
    wait: sources.Wait = False,
    engine: Engine = None,
    backend: Backend = "auto",
    device: Device = "auto",
    labels: Labels = None,
    rebuild: Rebuild = False,
    verbose: Verbose = False,
    reload: Annotated[
        bool,
        typer.Option(
            "--reload",
            help="Open the engine anew when its file changes, while frames go on.",
        ),
    ] = False,
    headless: Annotated[
        bool, typer.Option("--headless", help="No window, even where there is a display.")
    ] = False,
    output: outputs.Output = None,
    events: outputs.EventsFile = None,
    snapshots: outputs.SnapshotFolder = None,
    snapshot_limit: outputs.SnapshotLimit = 1000,
    mqtt: outputs.MqttAddress = None,
    web: camera_web.Web = None,
    web_control: camera_web.WebControl = False,
    web_source: camera_web.WebSource = None,
    web_name: camera_web.WebName = None,
    max_frames: Annotated[
        int | None, typer.Option(min=1, help="End after so many frames.", show_default=False)
    ] = None,
    smooth: outputs.Smooth = None,
    enter: outputs.Enter = None,
    leave: outputs.Leave = None,
    json: Json = False,
) -> None:
    """Classify what a camera sees, or a video, or pictures, frame by frame.

    Of a live camera the newest frame is answered, of a file every one. A live source that is lost
    is opened again until it is back. `q` or Escape closes the window, Ctrl-C ends the command; both
    finish the recording and print a summary.

    Example: `edgecat camera --source 0 --output clip.mkv --events events.jsonl`
    """
    if list_:
        return sources.show_sources(json=json)
    texts = source or ["0"]
    with stopped_by_signals() as stop, warnings_shown():
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # edgecat says it in a sentence
        from edgecat_runtime.pipeline import Pipeline

        options = sources.source_options(
            width, height, fps, rotate, flip, roi, realtime, transport, stall, frozen
        )
        outputs.refuse_overwriting(texts, output, events)
        thresholds = outputs.thresholds(enter, leave, smooth=smooth)
        page = camera_web.web_page(web, web_control, texts, web_source, web_name)
        opened = _opener(engine, backend, device, labels, rebuild=rebuild)
        with (
            sources.open_cameras(texts, options, give_up=give_up, wait=wait) as cameras,
            opened(verbose=verbose) as classifier,
        ):
            sinks = outputs.sinks(
                cameras,
                output=output,
                events=events,
                snapshots=snapshots,
                snapshot_limit=snapshot_limit,
                mqtt=mqtt,
                window=not headless,
            )
            pipeline = Pipeline(
                cameras,
                classifier,
                [*sinks, page] if page else sinks,
                smooth=smooth,
                max_frames=max_frames,
                stop=stop,
                reopen=partial(opened, quiet=True),
                thresholds=thresholds,
                reload=reload,
            )
            _run(pipeline, json=json, tell=warn if str(events) == "-" else say)
    return None


def _opener(
    engine: Path | None, backend: str, device: str, labels: Path | None, *, rebuild: bool
) -> Callable[..., Classifier]:
    """What opens the model, at the start (`verbose=`) and when it has failed (`quiet=`)."""
    from edgecat.cli.terminal.console import TERMINAL
    from edgecat.workflows.models import models_to_serve
    from edgecat.workflows.serving import open_classifier

    return partial(
        open_classifier,
        engine or models_to_serve(),
        backend,
        device=device,
        labels=labels,
        rebuild=rebuild,
        reporter=TERMINAL,
    )


def _run(pipeline: Pipeline, *, json: bool, tell: Callable[[str], None]) -> None:
    """Run the loop and print its summary with `tell`, however it ends."""
    try:
        with _status_line() as show:
            for answer in pipeline:
                show(answer)
    finally:
        summary = pipeline.summary
        tell(json_text(summary.to_dict()) if json else str(summary))
    if summary.failures:  # each was reported when it happened
        raise typer.Exit(1)


@contextmanager
def _status_line() -> Iterator[Callable[[Answer], None]]:
    """Yield what shows an answer on one line of the terminal; silent without a terminal."""
    if not sys.stderr.isatty():
        yield lambda answer: None
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status("waiting for the first frame") as status:
        yield lambda answer: status.update(
            Text(f"frame {answer.frame.index}   {answer.smoothed}   {answer.fps:.1f} fps")
        )
