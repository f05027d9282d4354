"""`edgecat teach`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgecat.cli.options import camera_sources as sources
from edgecat.cli.options import camera_web
from edgecat.cli.options.config_file import ConfigFile
from edgecat.cli.options.from_fields import options_of
from edgecat.cli.terminal.signals import stopped_by_signals, warnings_shown
from edgecat.workflows.teach_options import TeachOptions


@options_of(
    TeachOptions,
    after="classes",
    types={"output": Path, "runs": Path},
)
def teach(
    classes: Annotated[
        list[str] | None,
        typer.Argument(help="Classes to teach; more can be added on the page.", metavar="CLASS..."),
    ] = None,
    source: Annotated[
        str, typer.Option(help="A camera number or any other source of edgecat camera.")
    ] = "0",
    web: Annotated[
        str,
        typer.Option(
            metavar="[HOST:]PORT",
            help="Where the page is served. Any address other than this machine's own (such as "
            "0.0.0.0:8080, for a phone) requires a token.",
        ),
    ] = "8080",
    web_name: camera_web.WebName = None,
    backbone: Annotated[
        Path | None,
        typer.Option(
            help="An exported model to learn from instead of the bundled one.", show_default=False
        ),
    ] = None,
    max_frames: Annotated[
        int | None, typer.Option(min=1, help="Stop after this many frames.", show_default=False)
    ] = None,
    config: ConfigFile = None,
    **options: Any,
) -> None:
    """Teach classes by showing them to a camera.

    Opens a web page: hold a class's button while you show the thing, and the answer follows within
    a second. Train then fine-tunes the network on the images, Use it exports the result and lets it
    answer, Undo goes back. The images are ordinary class folders, which edgecat train takes too.

    Example: `edgecat teach mug bottle --source 0 --web 8080`
    """
    with stopped_by_signals() as stop, warnings_shown():
        from edgecat.cli.terminal.console import TERMINAL, say
        from edgecat.workflows.teach import open_session
        from edgecat_runtime.camera.source import SourceOptions
        from edgecat_runtime.pipeline import Pipeline
        from edgecat_runtime.web.panels import register_panel
        from edgecat_runtime.web.teach.panel import Newest, teach_panel

        chosen = TeachOptions(
            **{**options, "output": str(options["output"]), "runs": str(options["runs"])}
        )
        page = camera_web.web_page(web, False, [source], None, web_name)
        assert page is not None
        with (
            sources.open_cameras([source], SourceOptions(), give_up=None, wait=False) as cameras,
            open_session(chosen, classes or (), backbone=backbone, reporter=TERMINAL) as session,
        ):
            register_panel(teach_panel(session))
            camera_web.tell(page)
            pipeline = Pipeline(
                cameras,
                session.live,
                [Newest(session), page],
                max_frames=max_frames,
                stop=stop,
                reload=session.exchange,
            )
            pipeline.run()
            counts = dict.fromkeys(session.store.classes, 0)
            for capture in session.store.captures():
                counts[capture.label] += 1
            say(f"{session.store.folder}: {', '.join(f'{n} {name}' for name, n in counts.items())}")
