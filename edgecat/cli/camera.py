"""`edgecat camera`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecat.cli import camera_sources as sources
from edgecat.cli import camera_web
from edgecat.cli.options import Backend, Device, Engine, Json, Labels, Rebuild
from edgecat.cli.signals import stopped_by_signals, warnings_shown

if TYPE_CHECKING:
    from edgecat_runtime.camera import Camera
    from edgecat_runtime.pipeline import Answer, Pipeline
    from edgecat_runtime.sinks import Sink


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
    give_up: sources.GiveUp = None,
    wait: sources.Wait = False,
    engine: Engine = None,
    backend: Backend = "auto",
    device: Device = "auto",
    labels: Labels = None,
    rebuild: Rebuild = False,
    headless: Annotated[
        bool, typer.Option("--headless", help="No window, even where there is a display.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Record with the overlay. A .mkv is playable even if edgecat is killed; .avi, "
            ".mp4, .mov and .webm work too."
        ),
    ] = None,
    events: Annotated[
        Path | None, typer.Option(help="Add a JSON line for every change of label to this file.")
    ] = None,
    web: camera_web.Web = None,
    web_control: camera_web.WebControl = False,
    web_source: camera_web.WebSource = None,
    max_frames: Annotated[
        int | None, typer.Option(min=1, help="End after so many frames.", show_default=False)
    ] = None,
    smooth: Annotated[
        bool | None,
        typer.Option(
            help="Smooth the answer over frames; default: yes, but not over unrelated pictures.",
            show_default=False,
        ),
    ] = None,
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
        from edgecat.cli.models import model_to_serve, open_classifier
        from edgecat_runtime.pipeline import Pipeline

        options = sources.source_options(
            width=width,
            height=height,
            fps=fps,
            rotate=rotate,
            flip=flip,
            roi=roi,
            realtime=realtime,
            transport=transport,
            stall=stall,
        )
        _refuse_overwriting(texts, output, events)
        page = camera_web.web_page(web, web_control, texts, web_source)
        model = engine or model_to_serve()
        opened = partial(
            open_classifier, model, backend, device=device, labels=labels, rebuild=rebuild
        )
        with (
            sources.open_cameras(texts, options, give_up=give_up, wait=wait) as cameras,
            opened() as classifier,
        ):
            sinks = _sinks(cameras, output, events, window=not headless)
            sinks += [page] if page is not None else []
            pipeline = Pipeline(
                cameras,
                classifier,
                sinks,
                smooth=smooth,
                max_frames=max_frames,
                stop=stop,
                reopen=opened,
            )
            _run(pipeline, json=json)
    return None


def _run(pipeline: Pipeline, *, json: bool) -> None:
    """Run the loop and print its summary, however it ends."""
    from edgecat.cli.console import print_json, say

    try:
        with _status_line() as show:
            for answer in pipeline:
                show(answer)
    finally:
        summary = pipeline.summary
        print_json(summary.to_dict()) if json else say(str(summary))
    if summary.failures:  # each was reported when it happened
        raise typer.Exit(1)


def _sinks(
    cameras: Sequence[Camera], output: Path | None, events: Path | None, *, window: bool
) -> list[Sink]:
    from edgecat.cli.console import warn
    from edgecat_runtime.display import why_no_window
    from edgecat_runtime.events import Events
    from edgecat_runtime.systemd import Systemd

    sinks: list[Sink] = [Systemd()]
    if events is not None:
        sinks.append(Events(events))
    if window and (reason := why_no_window()):
        warn(f"no window: {reason}")
        window = False
    for number, frames in enumerate(cameras):
        for sink in _pictures(frames, output and _numbered(output, number, cameras), window=window):
            sink.only_camera = number
            sinks.append(sink)
    return sinks


def _pictures(frames: Camera, output: Path | None, *, window: bool) -> Iterator[Sink]:
    """Yield what shows one camera's pictures: each camera has a file and a window of its own."""
    from edgecat_runtime.recorder import Recorder
    from edgecat_runtime.window import Window

    if output is not None:
        yield Recorder(output, fps=frames.fps)
    if window:
        yield Window(f"edgecat: {frames.source.name}")


def _numbered(output: Path, number: int, cameras: Sequence[Camera]) -> Path:
    """Return the file for one of several cameras: clip-0.mkv, clip-1.mkv, ..."""
    if len(cameras) == 1:
        return output
    return output.with_name(f"{output.stem}-{number}{output.suffix}")


def _refuse_overwriting(texts: Sequence[str], *outputs: Path | None) -> None:
    """Raise UserError where an output would overwrite what is being read, or another output."""
    from edgecat_runtime.errors import UserError

    taken = [Path(text).resolve() for text in texts if Path(text).is_file()]
    for output in outputs:
        if output is not None and output.resolve() in taken:
            raise UserError(f"{output} is named twice: it would be overwritten. Name another file")
        taken += [output.resolve()] if output is not None else []


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
