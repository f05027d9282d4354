"""The options of `edgecat camera` that say what it looks at, and how."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from edgecat_runtime.camera.camera import Camera
    from edgecat_runtime.camera.source import SourceOptions

Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        help="A camera number, /dev/videoN, a video file, a picture, folder or glob of pictures, "
        "rtsp://, http:// (MJPEG or single images), udp://, csi://0, gst:PIPELINE, screen or "
        "synthetic://pets. Give several to answer them in batches. Default: 0.",
        show_default=False,
    ),
]
ListCameras = Annotated[
    bool, typer.Option("--list", help="Show the cameras and the kinds of source found here.")
]
Width = Annotated[int, typer.Option(min=0, help="Of the frames, in pixels.", show_default=False)]
Height = Annotated[int, typer.Option(min=0, help="Of the frames, in pixels.", show_default=False)]
Fps = Annotated[float, typer.Option(min=0, max=1000, help="Frames a second.", show_default=False)]
Rotate = Annotated[
    Literal["0", "90", "180", "270"], typer.Option(help="Turn the picture clockwise, in degrees.")
]
Flip = Annotated[
    Literal["horizontal", "vertical", "both"] | None,
    typer.Option(help="Mirror the turned picture.", show_default=False),
]
Roi = Annotated[
    str | None,
    typer.Option(
        metavar="X,Y,W,H",
        help="Look at a part of the turned picture only, in pixels, or in shares from 0 to 1.",
        show_default=False,
    ),
]
Realtime = Annotated[
    bool, typer.Option("--realtime", help="Play a file at its own rate, newest frame first.")
]
TransportOption = Annotated[Literal["tcp", "udp"], typer.Option("--transport", help="Of RTSP.")]
Stall = Annotated[
    float,
    typer.Option(min=0.5, help="Seconds without a frame after which a live source is lost."),
]
Frozen = Annotated[
    float,
    typer.Option(
        "--frozen",
        min=0,
        help="Seconds after which a camera that repeats one image is reported; 0: never.",
    ),
]
GiveUp = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="End, with exit code 4, when a live source is lost for so many seconds; default: try "
        "for ever.",
        show_default=False,
    ),
]
Wait = Annotated[
    bool, typer.Option("--wait", help="Wait for a live source that is not there at the start.")
]


def source_options(
    width: int,
    height: int,
    fps: float,
    rotate: str,
    flip: Literal["horizontal", "vertical", "both"] | None,
    roi: str | None,
    realtime: bool,
    transport: Literal["tcp", "udp"],
    stall: float,
    frozen: float = 60.0,
) -> SourceOptions:
    """Return what the options say; raises UserError where `--roi` makes no sense."""
    from edgecat_runtime.camera.source import SourceOptions
    from edgecat_runtime.camera.view import ROTATIONS, Region

    return SourceOptions(
        width=width,
        height=height,
        fps=fps,
        rotate=ROTATIONS[rotate],
        flip=flip,
        roi=Region.parse(roi) if roi else None,
        realtime=realtime,
        transport=transport,
        stall=stall,
        frozen=frozen,
    )


@contextmanager
def open_cameras(
    sources: Sequence[str], options: SourceOptions, *, give_up: float | None, wait: bool
) -> Iterator[list[Camera]]:
    """Open every source, and close them all at the end; raises as `Camera.open`."""
    import edgecat.pets.camera  # noqa: F401  (registers synthetic://)
    from edgecat.cli.terminal.signals import ended_by_signals
    from edgecat_runtime.camera.camera import Camera

    with ExitStack() as stack:
        with ended_by_signals():
            cameras = [
                stack.enter_context(Camera.open(text, options=options, give_up=give_up, wait=wait))
                for text in sources
            ]
        yield cameras


def show_sources(*, json: bool) -> None:
    """Print the cameras that were found and the kinds of source, with what stands in their way."""
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
    say("no camera was found" if not cameras else "")
    width = max(len(kind.example) for kind in kinds)
    for kind in kinds:
        say(f"{kind.example:<{width}}  {'yes' if kind.works else f'no: {kind.reason}'}")
