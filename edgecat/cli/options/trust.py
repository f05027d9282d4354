"""`--trust`, which every command that opens a model takes."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

TRUSTING = frozenset(
    {
        *("benchmark", "camera", "classify", "compress", "deepvis", "evaluate", "explain"),
        *("export", "fleet", "inspect", "models", "predict", "serve", "teach", "train", "verify"),
    }
)
"""The commands with `--trust`."""


def _trust(context: typer.Context, value: str | None) -> str | None:
    if value is None or context.resilient_parsing:
        return value
    from edgecat_runtime.model.trust import VARIABLE, Trust

    Trust.read(value)  # a fault in it is told before anything starts
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = value
    context.call_on_close(lambda: _put_back(VARIABLE, before))
    return value


def _put_back(variable: str, before: str | None) -> None:
    if before is None:
        os.environ.pop(variable, None)
    else:
        os.environ[variable] = before


Trusted = Annotated[
    str | None,
    typer.Option(
        "--trust",
        metavar="KEYS",
        callback=_trust,
        is_eager=True,
        help="Only open models signed by a key in this file (default: $EDGECAT_TRUST).",
        show_default=False,
    ),
]


def accept_trust(command: Any) -> Any:
    """Give a command, and those below it, the option `--trust`.

    The file of keys is handed on in the environment variable EDGECAT_TRUST, which also reaches the
    processes that the command starts.
    """
    for below in getattr(command, "commands", {}).values():
        accept_trust(below)
    command.params.append(_option())
    return command


def _option() -> Any:
    """Typer's own option, taken from a command that has no other."""
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command()(_asked)
    option = typer.main.get_command(alone).params[0]
    option.expose_value = False  # the commands do not take it as an argument
    return option


def _asked(trust: Trusted = None) -> None:
    """Take `--trust`."""
