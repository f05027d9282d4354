"""`edgecat data`: one file per subcommand, heavy imports inside the one that needs them."""

from __future__ import annotations

from collections.abc import Callable

from edgecat.cli.data.capture import capture
from edgecat.cli.data.check import check
from edgecat.cli.data.fetch import fetch
from edgecat.cli.data.shard import shard
from edgecat.cli.data.split import split
from edgecat.cli.terminal.help import Command, command_group

_COMMANDS: tuple[Callable[..., None], ...] = (fetch, check, split, capture, shard)

data = command_group("data", "Fetch, check, split and capture labelled images.")
for _command in _COMMANDS:
    data.command(cls=Command)(_command)
