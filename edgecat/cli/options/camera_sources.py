"""The options of `edgecat camera` for its sources."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgecat.cli.options.from_fields import Command, options_of
from edgecat_runtime.camera.source import SourceOptions

if TYPE_CHECKING:
    from edgecat_runtime.camera.camera import Camera

_SOURCE = "Source"

Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        help="A camera number, /dev/videoN, a video file, an image, a folder or glob of images, "
        "rtsp://, http:// (MJPEG or single images), udp://, csi://0, gst:PIPELINE, screen or "
        "synthetic://pets. Repeat it to classify several sources in batches. Default: 0.",
        show_default=False,
        rich_help_panel=_SOURCE,
    ),
]
Names = Annotated[
    list[str] | None,
    typer.Option(
        "--name",
        help="What pages, events and messages call a source, instead of its address. Repeat it for "
        "several sources, in their order.",
        show_default=False,
        rich_help_panel=_SOURCE,
    ),
]
ListCameras = Annotated[
    bool,
    typer.Option(
        "--list", help="List the cameras and kinds of source found here.", rich_help_panel=_SOURCE
    ),
]
GiveUp = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="Exit with code 4 when a live source has been lost for this many seconds (default: "
        "retry forever).",
        show_default=False,
        rich_help_panel=_SOURCE,
    ),
]
Wait = Annotated[
    bool,
    typer.Option(
        "--wait",
        help="Wait for a live source, and a channel, that is not available at the start.",
        rich_help_panel=_SOURCE,
    ),
]


def source_options_of(*, after: str, without: Collection[str] = ()) -> Callable[[Command], Command]:
    """Give a command an option for every field of `SourceOptions`; see `options_of`."""
    return options_of(
        SourceOptions,
        after=after,
        panels={"width": _SOURCE},
        without=without,
        types={"roi": str | None},
        settings={
            "width": {"min": 0},
            "height": {"min": 0},
            "fps": {"min": 0, "max": 1000},
            "roi": {"metavar": "X,Y,W,H"},
            "stall": {"min": 0.5},
            "frozen": {"min": 0},
        },
    )


def source_options(options: Mapping[str, Any], **others: Any) -> SourceOptions:
    """Return the source options; raises UserError if `--roi` is invalid."""
    from edgecat_runtime.camera.view import ROTATIONS, Region

    roi = options["roi"]
    parsed = {
        "rotate": ROTATIONS[options["rotate"]],
        "roi": Region.parse(roi) if roi else None,
    }
    return SourceOptions(**{**options, **parsed, **others})


def silence_ffmpeg() -> None:
    """Have OpenCV's FFmpeg print nothing, unless the user's environment says otherwise.

    What goes wrong is reported by edgecat itself.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


@contextmanager
def open_cameras(
    sources: Sequence[str],
    options: SourceOptions,
    *,
    give_up: float | None,
    wait: bool,
    names: Sequence[str] | None = None,
) -> Iterator[list[Camera]]:
    """Open every source and close them all at the end; raises as `Camera.open`.

    Raises:
        UserError: there are names, but not one for each source, or two are equal.
    """
    import edgecat.pets.camera  # noqa: F401  (registers synthetic://)
    from edgecat.cli.terminal.signals import ended_by_signals
    from edgecat_runtime.camera.camera import Camera

    called = _checked(names, len(sources))
    silence_ffmpeg()
    with ExitStack() as stack:
        with ended_by_signals():
            cameras = [
                stack.enter_context(
                    Camera.open(text, options=options, give_up=give_up, wait=wait, name=name)
                )
                for text, name in zip(sources, called, strict=True)
            ]
        yield cameras


def _checked(names: Sequence[str] | None, count: int) -> Sequence[str]:
    """Return a name per source, empty ones without any."""
    from edgecat_runtime.errors import UserError

    if not names:
        return [""] * count
    if len(names) != count:
        raise UserError(
            f"--name is given {len(names)} times for {count} sources; expected one for each source"
        )
    if len(set(names)) < count or not all(name.strip() for name in names):
        raise UserError(f"--name is {', '.join(map(repr, names))}; expected different names")
    return names


def show_sources(*, json: bool) -> None:
    """Print the cameras found and the source types, with what prevents their use."""
    import edgecat.pets.camera  # noqa: F401
    from edgecat.cli.terminal.console import print_json, say
    from edgecat_runtime.camera.listing import find_cameras, source_kinds

    cameras, kinds = find_cameras(), source_kinds()
    if json:
        print_json(
            {
                "cameras": [camera.to_dict() for camera in cameras],
                "sources": [kind.to_dict() for kind in kinds],
            }
        )
        return
    for camera in cameras:
        say(str(camera))
    say("no camera found" if not cameras else "")
    width = max(len(kind.example) for kind in kinds)
    for kind in kinds:
        say(f"{kind.example:<{width}}  {'yes' if kind.works else f'no: {kind.reason}'}")
