"""`edgecat deepvis`: the live view, and one file per subcommand."""

from __future__ import annotations

import typer

from edgecat.cli.deepvis.live import live
from edgecat.cli.deepvis.synthesise import synthesise
from edgecat.cli.deepvis.top import top
from edgecat.cli.terminal.help import Command, Group

deepvis = typer.Typer(
    name="deepvis",
    cls=Group,
    invoke_without_command=True,
    rich_markup_mode=None,
)
deepvis.callback()(live)
deepvis.command(cls=Command)(top)
deepvis.command(cls=Command)(synthesise)
