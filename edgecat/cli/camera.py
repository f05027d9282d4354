"""`edgecat camera`."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgecat.cli.options import Backend, Device, Engine, Json, Labels, Rebuild

if TYPE_CHECKING:
    from edgecat_runtime.camera import Camera
    from edgecat_runtime.pipeline import Answer, Pipeline
    from edgecat_runtime.sinks import Sink


def camera(
    source: Annotated[
        str,
        typer.Option(
            help="A camera number, /dev/videoN, a video file, or a picture, folder or glob of "
            "pictures."
        ),
    ] = "0",
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

    Of a live camera the newest frame is answered, of a file every one. `q` or Escape closes the
    window, Ctrl-C ends the command; both finish the recording and print a summary.

    Example: `edgecat camera --source 0 --output clip.mkv --events events.jsonl`
    """
    with _stopped_by_signals() as stop, _warnings_shown():
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # edgecat says it in a sentence
        from edgecat.cli.models import model_to_serve, open_classifier
        from edgecat_runtime.camera import Camera
        from edgecat_runtime.pipeline import Pipeline

        _refuse_overwriting(source, output, events)
        model = engine or model_to_serve()
        with (
            Camera.open(source) as frames,
            open_classifier(
                model, backend, device=device, labels=labels, rebuild=rebuild
            ) as classifier,
        ):
            sinks = _sinks(frames, output, events, window=not headless)
            pipeline = Pipeline(
                frames, classifier, sinks, smooth=smooth, max_frames=max_frames, stop=stop
            )
            _run(pipeline, json=json)


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


def _sinks(frames: Camera, output: Path | None, events: Path | None, *, window: bool) -> list[Sink]:
    from edgecat.cli.console import warn
    from edgecat_runtime.display import why_no_window
    from edgecat_runtime.events import Events
    from edgecat_runtime.recorder import Recorder
    from edgecat_runtime.window import Window

    sinks: list[Sink] = []
    if events is not None:
        sinks.append(Events(events))
    if output is not None:
        sinks.append(Recorder(output, fps=frames.fps))
    if window and (reason := why_no_window()):
        warn(f"no window: {reason}")
    elif window:
        sinks.append(Window(f"edgecat: {frames.source.name}"))
    return sinks


def _refuse_overwriting(source: str, *outputs: Path | None) -> None:
    """Raise UserError where an output would overwrite what is being read, or another output."""
    from edgecat_runtime.errors import UserError

    taken = [Path(source).resolve()] if Path(source).is_file() else []
    for output in outputs:
        if output is not None and output.resolve() in taken:
            raise UserError(f"{output} is named twice: it would be overwritten. Name another file")
        taken += [output.resolve()] if output is not None else []


@contextmanager
def _stopped_by_signals() -> Iterator[Event]:
    """Yield an event that the first Ctrl-C or SIGTERM sets; a second one ends at once."""
    stop = Event()
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}

    def ask(number: int, frame: Any) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    for number in signals:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _warnings_shown() -> Iterator[None]:
    """Print what the runtime reports on the way, such as a skipped picture or a full disk."""
    from edgecat.cli.console import warn

    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: warn(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("edgecat_runtime")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


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
