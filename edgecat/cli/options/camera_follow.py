"""The options of `edgecat camera` for a channel of models."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

if TYPE_CHECKING:
    from edgecat_runtime import Classifier
    from edgecat_runtime.loop.answers import Answer
    from edgecat_runtime.loop.fleet.follower import Follower
    from edgecat_runtime.loop.reload import Replacements

_FLEET = "Fleet"

Follow = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Serve the model of this channel (http://, https://, file:// or a folder), and "
        "update by itself; needs --trust. See edgecat fleet.",
        show_default=False,
        rich_help_panel=_FLEET,
    ),
]
FollowEvery = Annotated[
    float,
    typer.Option(
        min=1, metavar="SECONDS", help="Poll the channel this often.", rich_help_panel=_FLEET
    ),
]
FollowFolder = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Keep models and state here (default: fleet in $STATE_DIRECTORY, or in "
        "~/.local/state/edgecat).",
        show_default=False,
        rich_help_panel=_FLEET,
    ),
]
Board = Annotated[
    str,
    typer.Option(
        metavar="ID",
        envvar="EDGECAT_BOARD",
        help="This board's id, which decides whether a roll-out includes it (default: made "
        "from /etc/machine-id).",
        show_default=False,
        rich_help_panel=_FLEET,
    ),
]
Canary = Annotated[
    float | None,
    typer.Option(
        metavar="MINUTES",
        min=0.01,
        help="Compare a new model's live predictions with those of the one before for this long; "
        "go back by itself if they depart by more than --canary-limit.",
        show_default=False,
        rich_help_panel=_FLEET,
    ),
]
CanaryLimit = Annotated[
    float,
    typer.Option(
        min=0.001,
        max=0.999,
        help="Maximum change of the mean confidence, and of the fraction of `unsure` decisions.",
        rich_help_panel=_FLEET,
    ),
]
CanaryFrames = Annotated[
    int,
    typer.Option(
        min=1,
        help="Do not judge a model by fewer frames than this.",
        rich_help_panel=_FLEET,
    ),
]
BuildEngine = Annotated[
    Path | None,
    typer.Option(
        metavar="KEY",
        help="Build a TensorRT engine of each model on this device, signed with this private key, "
        "whose public key is trusted.",
        show_default=False,
        rich_help_panel=_FLEET,
    ),
]


class Following(NamedTuple):
    """How a channel is followed, as given."""

    channel: str | None
    every: float
    folder: Path | None
    board: str
    build_engine: Path | None
    canary: float | None
    canary_limit: float
    canary_frames: int


class LoopModel(NamedTuple):
    """The model of a loop.

    Attributes:
        opened: opens it, at startup (`verbose=`) or after a failure (`quiet=`).
        reload: what replaces it while the loop runs.
        outputs: what else is given each answer.
    """

    opened: Callable[..., Classifier]
    reload: bool | Replacements
    outputs: Sequence[Callable[[Answer], None]] = ()


@contextmanager
def loop_model(
    given: Following, opened: partial[Classifier], *, wait: bool, **others: Any
) -> Iterator[LoopModel]:
    """Yield the loop's model: the given one, or that of a channel, which is fetched first.

    Args:
        given: how a channel is followed, if one is.
        opened: opens the given model; its options apply to a channel's models too.
        wait: whether to wait for a channel that cannot be reached.
        **others: options that choose the model in another way, `reload` among them.

    Raises:
        UserError: options contradict one another.
        EdgecatError: as `Follower.open`.
    """
    _check(given, {**others, "rebuild": opened.keywords["rebuild"]})
    if given.channel is None:
        yield LoopModel(opened, reload=bool(others["reload"]))
        return
    from edgecat.cli.terminal.signals import ended_by_signals

    with _follower(given, given.channel, opened) as follower:
        with ended_by_signals():
            first = [follower.open(wait=wait)]

        def again(**quiet: bool) -> Classifier:
            return first.pop() if first else follower.reopen()

        try:
            yield LoopModel(again, follower, [follower.observe] if given.canary else ())
        finally:
            for classifier in first:  # the camera could not be opened
                classifier.close()


def _follower(given: Following, channel: str, opened: partial[Classifier]) -> Follower:
    from edgecat.workflows.models import read_labels
    from edgecat.workflows.serving import choices_folder
    from edgecat_runtime.loop.fleet.canary import CanaryLimits
    from edgecat_runtime.loop.fleet.device import Device
    from edgecat_runtime.loop.fleet.follower import Follower
    from edgecat_runtime.loop.fleet.opening import Opening
    from edgecat_runtime.loop.fleet.options import FollowOptions
    from edgecat_runtime.loop.fleet.origin import open_origin
    from edgecat_runtime.loop.fleet.store import Store

    (_, backend), options = opened.args, opened.keywords
    device, labels = options["device"], options["labels"]
    canary = None
    if given.canary is not None:
        canary = CanaryLimits(given.canary, given.canary_limit, given.canary_frames)
    build = None
    if given.build_engine is not None:
        from edgecat.workflows.fleet.engine import engine_builder

        build = engine_builder(given.build_engine, device=device)
    opening = Opening(
        options={
            "backend": backend,
            "device": device,
            "labels": read_labels(labels) if labels else None,
            "cache": choices_folder(),
        },
        opened=lambda paths: opened.func(paths, backend, quiet=True, **options),
        build=build,
    )
    return Follower(
        open_origin(channel),
        Store(given.folder or default_folder()),
        opening,
        device=Device(backend=backend, device=device),
        options=FollowOptions(given.every, given.board, canary),
    )


def _check(given: Following, others: Mapping[str, Any]) -> None:
    from edgecat_runtime.errors import UserError

    if given.channel is None:
        unused = {"canary": given.canary, "build-engine": given.build_engine}
        for name in (name for name, value in unused.items() if value is not None):
            raise UserError(f"--{name} needs a channel. Add --follow URL")
        return
    for name in (name for name, value in others.items() if value):
        raise UserError(f"--{name} and --follow both choose the model. Leave one out")


def default_folder() -> Path:
    """Where a board keeps its models and its state: not the cache, which may be emptied."""
    if state := os.environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(state) / "fleet"
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "edgecat" / "fleet"
