"""`edgecat fleet`: publish models on a channel, and see what is there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecat.cli.options.common import Json
from edgecat.cli.terminal.help import Command, command_group

if TYPE_CHECKING:
    from edgecat.workflows.fleet.writing import Publication

To = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="DIR|URL",
        help="The channel: a folder, or the address of one on a server that takes PUT.",
    ),
]
Key = Annotated[Path, typer.Option(help="Private key that signs the manifest.")]
Expires = Annotated[
    float | None,
    typer.Option(
        min=0.01,
        metavar="DAYS",
        help="After this many days boards take nothing from this manifest (default: never).",
        show_default=False,
    ),
]

fleet = command_group(
    "fleet", "Publish models to devices that follow a channel: edgecat camera --follow."
)


@fleet.command(cls=Command)
def publish(
    models: Annotated[
        list[Path],
        typer.Argument(
            metavar="MODEL...",
            help="A signed ONNX file, and engines of it for kinds of board.",
            show_default=False,
        ),
    ],
    to: To,
    key: Key,
    channel: Annotated[
        str, typer.Option(help="Name of a new channel (default: that of its folder).")
    ] = "",
    version: Annotated[
        int,
        typer.Option(min=0, help="Version (default: one more than before).", show_default=False),
    ] = 0,
    rollout: Annotated[
        int,
        typer.Option(min=0, max=100, metavar="PERCENT", help="Percentage of the boards."),
    ] = 100,
    min_edgecat: Annotated[
        str, typer.Option(metavar="VERSION", help="Oldest edgecat that is to run it.")
    ] = "",
    note: Annotated[str, typer.Option(help="A line about it, for people.")] = "",
    expires: Expires = None,
    sequence: Annotated[
        int,
        typer.Option(
            min=0,
            help="Number of the manifest: only if the channel's folder was lost.",
            show_default=False,
        ),
    ] = 0,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Self-test an ONNX file here first.")
    ] = True,
    json: Json = False,
) -> None:
    """Publish a version of a model, which boards fetch, prove and serve by themselves.

    The channel is a folder of static files that any web server serves. The manifest is signed and
    written last. The version goes up by one.

    Example: `edgecat fleet publish vgg16.onnx --to channel/ --key release --rollout 10`
    """
    from edgecat.cli.terminal.console import TERMINAL
    from edgecat.workflows.fleet.publish import ReleaseOptions
    from edgecat.workflows.fleet.publish import publish as publish_models
    from edgecat_runtime.model.signing import read_key

    options = ReleaseOptions(channel, version, rollout, min_edgecat, note, sequence)
    private = read_key(key)
    done = publish_models(
        models,
        to,
        private,
        options=options,
        expires=expires,
        verify=verify,
        reporter=TERMINAL,
    )
    _show(done, json=json)


@fleet.command(cls=Command)
def rollout(
    percent: Annotated[int, typer.Argument(min=0, max=100, help="Percentage of the boards.")],
    to: To,
    key: Key,
    expires: Expires = None,
    json: Json = False,
) -> None:
    """Roll the newest version out to this percentage of the boards; those that have it keep it.

    A higher percentage only adds boards.

    Example: `edgecat fleet rollout 50 --to channel/ --key release`
    """
    from edgecat.workflows.fleet.change import roll_out
    from edgecat_runtime.model.signing import read_key

    _show(roll_out(percent, to, read_key(key), expires=expires), json=json)


@fleet.command("return", cls=Command)
def return_(
    version: Annotated[int, typer.Argument(min=1, help="Version to go back to.")],
    to: To,
    key: Key,
    expires: Expires = None,
    json: Json = False,
) -> None:
    """Have all boards go back to an earlier version: versions only go down on a signed return.

    Example: `edgecat fleet return 6 --to channel/ --key release`
    """
    from edgecat.workflows.fleet.change import return_to
    from edgecat_runtime.model.signing import read_key

    _show(return_to(version, to, read_key(key), expires=expires), json=json)


@fleet.command(cls=Command)
def status(
    channel: Annotated[str, typer.Argument(metavar="DIR|URL", help="The channel.")],
    files: Annotated[
        bool, typer.Option("--files", help="Fetch every file and check its hash as well.")
    ] = False,
    board: Annotated[
        str, typer.Option(help="Id of a board: what is meant for it? (default: this machine)")
    ] = "",
    json: Json = False,
) -> None:
    """Show what a channel offers, whether its signature is trusted, and what a board would take.

    Example: `edgecat fleet status https://models.example/yard --trust release.pub`
    """
    from edgecat.cli.terminal.console import print_json, say
    from edgecat.workflows.fleet.status import channel_status

    found = channel_status(channel, board=board, files=files)
    if json:
        print_json(found.to_dict())
    else:
        say(str(found))
    raise typer.Exit(3 if found.damaged else 0)


def _show(done: Publication, *, json: bool) -> None:
    from edgecat.cli.terminal.console import print_json, say
    from edgecat.workflows.fleet.shown import release_lines

    if json:
        print_json(done.to_dict())
        return
    manifest = done.manifest
    say(f"{done.place}: channel {manifest.channel}, manifest {manifest.sequence}, by {done.key}")
    for line in release_lines(manifest):
        say(line)
