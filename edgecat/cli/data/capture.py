"""`edgecat data capture`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecat.cli.options.common import Json

if TYPE_CHECKING:
    from edgecat.curation.gather import Album, Trigger
    from edgecat_runtime.camera.camera import Camera

_GIVE_UP = 10.0  # seconds


def capture(
    label: Annotated[str, typer.Option(help="Class to capture, which names the folder.")],
    source: Annotated[
        str, typer.Option(help="A camera number, a video or images, as for edgecat camera.")
    ] = "0",
    output: Annotated[Path, typer.Option(help="Folder that contains the class folders.")] = Path(
        "photos"
    ),
    every: Annotated[
        float, typer.Option(min=0, help="Seconds between images when there is no window.")
    ] = 0.5,
    count: Annotated[
        int | None, typer.Option(min=1, help="Stop after this many images.", show_default=False)
    ] = None,
    headless: Annotated[
        bool, typer.Option("--headless", help="Open no window, even if there is a display.")
    ] = False,
    json: Json = False,
) -> None:
    """Capture images of one class with any camera, into `photos/<label>/`.

    In the window of a live camera, space captures an image and q quits; without a window, an image
    is captured every half second. Blurred images and near-duplicates are discarded; files are never
    overwritten. Ctrl-C stops and keeps what was captured.

    Example: `edgecat data capture --label mug --source 0 --count 200`
    """
    from edgecat.cli.options.camera_sources import open_cameras
    from edgecat.cli.terminal.console import print_json, say
    from edgecat.cli.terminal.signals import stopped_by_signals, warnings_shown
    from edgecat.curation.gather import Album, gather
    from edgecat_runtime.camera.source import SourceOptions

    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # edgecat reports it itself
    album = Album(output, label)
    with ExitStack() as stack:
        stop = stack.enter_context(stopped_by_signals())
        stack.enter_context(warnings_shown())
        (camera,) = stack.enter_context(
            open_cameras([source], SourceOptions(), give_up=_GIVE_UP, wait=False)
        )
        wanted = _trigger(camera, stack, every=every, window=not headless)
        show = _shown(album, stack)
        try:
            gather(camera, album, wanted, count=count, stop=stop, on_verdict=lambda _: show())
        finally:
            stack.close()
            if json:
                print_json({"folder": str(album.folder), **_counts(album)})
            else:
                say(str(album))


def _counts(album: Album) -> dict[str, int]:
    return {verdict: album.counts[verdict] for verdict in ("taken", "alike", "blurred")}


def _trigger(camera: Camera, stack: ExitStack, *, every: float, window: bool) -> Trigger:
    """The window's space bar for a live camera with a window; otherwise a timer."""
    from edgecat.cli.data.viewfinder import viewfinder
    from edgecat.cli.terminal.console import warn
    from edgecat.curation.gather import Every
    from edgecat_runtime.system.display import why_no_window

    if window and camera.source.live:
        if not (reason := why_no_window()):
            return stack.enter_context(viewfinder("edgecat data capture"))
        warn(f"no window: {reason}; capturing an image every {every:g} s")
    return Every(every, camera.fps, camera.source.stills)


def _shown(album: Album, stack: ExitStack) -> Callable[[], None]:
    """A function that shows the counts on one terminal line; silent without a terminal."""
    if not sys.stderr.isatty():
        return lambda: None
    from rich.console import Console
    from rich.text import Text

    status = stack.enter_context(Console(stderr=True).status("waiting for the first frame"))
    return lambda: status.update(Text(str(album)))
