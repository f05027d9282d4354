"""The options of `edgecat camera` for smoothing and outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgecat_runtime.camera.camera import Camera
    from edgecat_runtime.loop.decision import Thresholds
    from edgecat_runtime.outputs.sink import Sink

_DECISION = "Decision"
OUTPUTS = "Outputs"

Output = Annotated[
    Path | None,
    typer.Option(
        help="Record a video with the overlay. A .mkv stays playable even if edgecat is killed; "
        ".avi, .mp4, .mov and .webm work too.",
        rich_help_panel=OUTPUTS,
    ),
]
EventsFile = Annotated[
    Path | None,
    typer.Option(
        help="Append a JSON line to this file for every change of label or signal; - is standard "
        "output, and the summary then goes to standard error.",
        rich_help_panel=OUTPUTS,
    ),
]
SnapshotFolder = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Save a JPEG of the frame whenever the label changes.",
        show_default=False,
        rich_help_panel=OUTPUTS,
    ),
]
SnapshotLimit = Annotated[
    int,
    typer.Option(
        min=1,
        help="Number of snapshots to keep; the oldest are deleted.",
        rich_help_panel=OUTPUTS,
    ),
]
MqttAddress = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        envvar="EDGECAT_MQTT",
        help="Publish every change: mqtt[s]://[user:password@]host[:port]/topic.",
        show_default=False,
        rich_help_panel=OUTPUTS,
    ),
]
OtherOutputs = Annotated[
    list[str] | None,
    typer.Option(
        "--sink",
        metavar="NAME[:ARGUMENT]",
        help="Any other output by its name, such as that of a plug-in. Give several to use all.",
        show_default=False,
        rich_help_panel=OUTPUTS,
    ),
]
Smooth = Annotated[
    bool | None,
    typer.Option(
        help="Smooth the decision over frames (default: yes, except for unrelated images).",
        show_default=False,
        rich_help_panel=_DECISION,
    ),
]
Enter = Annotated[
    float | None,
    typer.Option(
        help="Confidence at which a class becomes the label (default: 0.7).",
        show_default=False,
        rich_help_panel=_DECISION,
    ),
]
Leave = Annotated[
    float | None,
    typer.Option(
        help="Confidence below which the label becomes `unsure` (default: 0.55, or --enter if "
        "that is lower).",
        show_default=False,
        rich_help_panel=_DECISION,
    ),
]


def thresholds(enter: float | None, leave: float | None, *, smooth: bool | None) -> Thresholds:
    """Return the thresholds that the options specify.

    Raises:
        UserError: --leave is above --enter, or either is given although smoothing is off.
    """
    from edgecat_runtime.errors import UserError
    from edgecat_runtime.loop.decision import Thresholds

    if smooth is False and (enter, leave) != (None, None):
        raise UserError(
            "--enter and --leave configure smoothing; with --no-smooth each frame "
            "is classified on its own. Omit them"
        )
    usual = Thresholds()
    enter = max(usual.enter, leave or 0.0) if enter is None else enter
    return Thresholds(enter, min(usual.leave, enter) if leave is None else leave)


def sinks(
    cameras: Sequence[Camera],
    *,
    output: Path | None,
    events: Path | None,
    snapshots: Path | None,
    snapshot_limit: int,
    mqtt: str | None,
    others: Sequence[str],
    window: bool,
) -> list[Sink]:
    """Open the requested outputs; raises UserError if one cannot be opened."""
    from edgecat.cli.terminal.console import warn
    from edgecat_runtime.outputs.systemd import Systemd
    from edgecat_runtime.system.display import why_no_window

    if window and (reason := why_no_window()):
        warn(f"no window: {reason}")
        window = False
    opened: list[Sink] = [Systemd()]
    if mqtt is not None:
        from edgecat_runtime.outputs.mqtt import Mqtt

        opened.append(Mqtt(mqtt))
    if events is not None:
        from edgecat_runtime.outputs.events import Events

        opened.append(Events(events))
    if snapshots is not None:
        from edgecat_runtime.outputs.snapshots import Snapshots

        opened.append(Snapshots(snapshots, limit=snapshot_limit))
    if others:
        from edgecat_runtime.outputs.opening import open_output

        opened += map(open_output, others)
    for number, frames in enumerate(cameras):
        for sink in _pictures(frames, output and _numbered(output, number, cameras), window=window):
            sink.only_camera = number
            opened.append(sink)
    return opened


def _pictures(frames: Camera, output: Path | None, *, window: bool) -> Iterator[Sink]:
    """Yield the sinks that show one camera's images: each camera has its own file and window."""
    from edgecat_runtime.outputs.recorder import Recorder
    from edgecat_runtime.outputs.window import Window

    if output is not None:
        yield Recorder(output, fps=frames.fps)
    if window:
        yield Window(f"edgecat: {frames.source.name}")


def _numbered(output: Path, number: int, cameras: Sequence[Camera]) -> Path:
    """Return the file for one of several cameras: clip-0.mkv, clip-1.mkv, ..."""
    if len(cameras) == 1:
        return output
    return output.with_name(f"{output.stem}-{number}{output.suffix}")


def refuse_overwriting(texts: Sequence[str], *outputs: Path | None) -> None:
    """Raise UserError if an output would overwrite a source or another output."""
    from edgecat_runtime.errors import UserError
    from edgecat_runtime.system.paths import exists

    taken = [Path(text).resolve() for text in texts if exists(text) and Path(text).is_file()]
    for output in outputs:
        if output is not None and output.resolve() in taken:
            raise UserError(
                f"{output} is given twice and would be overwritten. Choose another file"
            )
        taken += [output.resolve()] if output is not None else []
