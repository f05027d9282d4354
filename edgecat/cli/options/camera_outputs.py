"""The options of `edgecat camera` for smoothing and outputs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
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
        ".avi, .mp4, .mov and .webm work too. {time} and {index} in the name become the time and "
        "the number of the source; where the file exists, a free name is taken.",
        rich_help_panel=OUTPUTS,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Let --output replace an existing file.",
        rich_help_panel=OUTPUTS,
    ),
]
PredictionsFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Append a JSON line to this file for every classified frame; - is standard output, as "
        "for --events.",
        show_default=False,
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
    recorded: Sequence[Path],
    overwrite: bool,
    lines: tuple[Path | None, Path | None],
    snapshots: Path | None,
    snapshot_limit: int,
    mqtt: str | None,
    others: Sequence[str],
    window: bool,
) -> list[Sink]:
    """Open the requested outputs; raises UserError if one cannot be opened.

    Args:
        cameras: in the order of the sources.
        recorded: a video file per camera, or none at all.
        overwrite: whether these may replace existing files.
        lines: the files of events and of predictions.
        snapshots: folder for them.
        snapshot_limit: number of snapshots to keep.
        mqtt: address of the broker.
        others: outputs by their names.
        window: whether to open windows.
    """
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
    events, predictions = lines
    if events is not None:
        from edgecat_runtime.outputs.events import Events

        opened.append(Events(events))
    if predictions is not None:
        from edgecat_runtime.outputs.predictions import Predictions

        opened.append(Predictions(predictions))
    if snapshots is not None:
        from edgecat_runtime.outputs.snapshots import Snapshots

        opened.append(Snapshots(snapshots, limit=snapshot_limit))
    if others:
        from edgecat_runtime.outputs.opening import open_output

        opened += map(open_output, others)
    opened += _recorders(cameras, recorded, overwrite=overwrite)
    opened += _windows(cameras) if window else ()
    return opened


def _recorders(
    cameras: Sequence[Camera], named: Sequence[Path], *, overwrite: bool
) -> Iterator[Sink]:
    """Open a recorder per camera; a file with another name than the expected one is reported."""
    from edgecat.cli.terminal.console import warn
    from edgecat_runtime.outputs.recorder import Recorder

    for number, (frames, path) in enumerate(zip(cameras, named, strict=False)):
        recorder = Recorder(path, fps=frames.fps, overwrite=overwrite)
        if recorder.path != path:
            warn(f"recording to {recorder.path}: {path} exists. --overwrite replaces it")
        recorder.only_camera = number
        yield recorder


def written(sinks: Iterable[Sink]) -> list[Path]:
    """The files that recorders write."""
    from edgecat_runtime.outputs.recorder import Recorder

    return [sink.path for sink in sinks if isinstance(sink, Recorder)]


def _windows(cameras: Sequence[Camera]) -> Iterator[Sink]:
    from edgecat_runtime.outputs.window import Window

    for number, frames in enumerate(cameras):
        window = Window(f"edgecat: {frames.source.name}")
        window.only_camera = number
        yield window


def recordings(output: Path | None, count: int) -> tuple[Path, ...]:
    """The files to record to, one for each camera.

    Args:
        output: as given: `{time}` is the local time, `{index}` the camera's number. Without it, the
            files of several cameras are clip-0.mkv, clip-1.mkv, ...
        count: number of cameras.
    """
    if output is None:
        return ()
    text = str(output).replace("{time}", time.strftime("%Y%m%d-%H%M%S"))
    if "{index}" in text:
        return tuple(Path(text.replace("{index}", str(number))) for number in range(count))
    path = Path(text)
    if count == 1:
        return (path,)
    return tuple(path.with_name(f"{path.stem}-{number}{path.suffix}") for number in range(count))


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
