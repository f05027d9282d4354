"""Commands built when they are used: to read the options of all takes a third of a start."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import typer

from edgecat.cli.options.trust import TRUSTING, accept_trust
from edgecat.cli.terminal.help import Command

Code: TypeAlias = "Callable[..., None] | typer.Typer"


class BuiltOnUse(Mapping[str, Any]):
    """Commands by name; each is built from its function or its Typer when it is looked up.

    Args:
        code: what the commands are built from, by name.
        panels: the heading of each command in the help; a command without one is hidden.
    """

    def __init__(self, code: Mapping[str, Code], panels: Mapping[str, str]) -> None:
        self._code = code
        self._panels = panels
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            command = self._build(name, self._code[name])
            self._built[name] = accept_trust(command) if name in TRUSTING else command
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._code)

    def __len__(self) -> int:
        return len(self._code)

    def summaries(self) -> list[tuple[str, Any]]:
        """Names and commands as the help lists them, without options and hidden ones."""
        return [(name, self._summary(name)) for name in self._panels]

    def _summary(self, name: str) -> Any:
        found = self._code[name]
        text = inspect.getdoc(found)
        if isinstance(found, typer.Typer):
            callback = found.registered_callback
            text = inspect.getdoc(callback.callback) if callback else found.info.help
        return Command(name, help=text, rich_help_panel=self._panels[name])

    def _build(self, name: str, code: Code) -> Any:
        if isinstance(code, typer.Typer):
            return typer.main.get_group(code)
        alone = typer.Typer(
            add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
        )
        panel = self._panels.get(name)
        alone.command(name, cls=Command, rich_help_panel=panel, hidden=panel is None)(code)
        return typer.main.get_command(alone)
