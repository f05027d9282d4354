"""`edgecat deepvis`: the live look, and one file per sub-command."""

from __future__ import annotations

import typer

from edgecat.cli.deepvis.live import live
from edgecat.cli.deepvis.synthesise import synthesise
from edgecat.cli.deepvis.top import top

deepvis = typer.Typer(
    name="deepvis",
    invoke_without_command=True,
    rich_markup_mode="markdown",
)
deepvis.callback()(live)
deepvis.command()(top)
deepvis.command()(synthesise)
