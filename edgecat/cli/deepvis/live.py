"""`edgecat deepvis` itself: the live view."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgecat.cli.deepvis.options import Device, Model
from edgecat.cli.options import camera_sources as sources
from edgecat.cli.options import camera_web
from edgecat.cli.terminal.signals import stopped_by_signals, warnings_shown

if TYPE_CHECKING:
    from threading import Event

    from edgecat.deepvis.live.session import Live
    from edgecat_runtime.outputs.sink import Sink
    from edgecat_runtime.pipeline import Pipeline


@sources.source_options_of(after="pictures", without=("realtime",))
def live(
    context: typer.Context,
    source: Annotated[
        str | None,
        typer.Option(
            help="Source to view, as for `edgecat camera`; the images of a folder are shown one "
            "by one. Default: 0.",
            show_default=False,
        ),
    ] = None,
    pictures: Annotated[
        str | None,
        typer.Option(
            help="An image, folder or glob of still images to switch to.", show_default=False
        ),
    ] = None,
    give_up: sources.GiveUp = None,
    wait: sources.Wait = False,
    engine: Model = None,
    device: Device = "cpu",
    headless: Annotated[
        bool, typer.Option("--headless", help="Open no window, even if there is a display.")
    ] = False,
    web: camera_web.Web = None,
    web_control: camera_web.WebControl = False,
    **options: Any,
) -> None:
    """Look inside a network, live, while it watches a camera, a video or images.

    Shows the feature maps of every layer, what drives a unit, and which pixels a prediction depends
    on. A window and the web page show the same view; `h` lists the keys.

    Example: `edgecat deepvis --source 0 --web 8080`
    """
    if context.invoked_subcommand is not None:
        return
    with stopped_by_signals() as stop, warnings_shown():
        sources.silence_ffmpeg()
        source_options = sources.source_options(options, realtime=True)
        text, stills = _what_to_look_at(source, pictures)
        has_window = _window_wanted(headless=headless, web=web)

        import edgecat.pets.camera  # noqa: F401  (registers synthetic://)
        from edgecat.cli.terminal.console import note_model
        from edgecat.deepvis.live.session import open_live
        from edgecat.deepvis.probe import open_probe
        from edgecat.deepvis.results import Results
        from edgecat.workflows.models import model_to_look_into

        checkpoint = model_to_look_into(engine)
        probe = open_probe(checkpoint, device=device)
        note_model(probe.card, checkpoint, device)
        results = Results(checkpoint, probe.card)
        page = camera_web.web_page(web, web_control, [text], None)
        with open_live(
            probe, results, text, stills, options=source_options, give_up=give_up, wait=wait
        ) as shown:
            camera_web.tell(page)
            _run(shown, page, stop, window=has_window, may_quit=web_control)


def _what_to_look_at(source: str | None, pictures: str | None) -> tuple[str, list[Path]]:
    """Separate still images from a moving source; raises UserError if there is neither."""
    from edgecat.deepvis.live.stage import find_images
    from edgecat_runtime.camera.source import SOURCES
    from edgecat_runtime.errors import UserError

    stills = find_images(pictures) if pictures is not None else []
    if pictures is not None and not stills:
        raise UserError(f"--pictures {pictures} contains no images; expected a folder or a glob")
    if source == "":  # an empty path would mean the current folder
        raise UserError(f"--source is empty; expected {SOURCES}. Is a shell variable unset?")
    if source is None:
        return ("", stills) if stills else ("0", [])
    found = find_images(source)
    return ("", [*found, *stills]) if found else (source, stills)


def _window_wanted(*, headless: bool, web: str | None) -> bool:
    """Whether to open a window; raises UserError if there is neither a window nor a page."""
    from edgecat.cli.terminal.console import warn
    from edgecat_runtime.errors import UserError
    from edgecat_runtime.system.display import why_no_window

    reason = "--headless" if headless else why_no_window()
    if reason and web is None:
        raise UserError(f"no window ({reason}) and no web page. Add --web 8080")
    if reason and not headless:
        warn(f"no window: {reason}")
    return not reason


def _run(live: Live, page: Sink | None, stop: Event, *, window: bool, may_quit: bool) -> None:
    """Run the loop with the requested window and page, and print its summary."""
    from edgecat.cli.terminal.console import say
    from edgecat_runtime.outputs.systemd import Systemd

    sinks: list[Sink] = [Systemd()]
    if page is not None:
        from edgecat.deepvis.live.panel import deepvis_panel
        from edgecat_runtime.web import register_panel

        register_panel(deepvis_panel(live.show, live.desk, live.looker.layers, may_quit=may_quit))
        sinks.append(page)
    pipeline: Pipeline = live.pipeline(sinks, stop=stop)
    try:
        if window:
            from edgecat.deepvis.live.session import run_with_window
            from edgecat.deepvis.live.window import Window

            title = f"edgecat deepvis: {live.stage.source.name}"
            run_with_window(pipeline, Window(live.show, live.desk, title), stop)
        else:
            pipeline.run()
    finally:
        say(str(pipeline.summary))
