"""Help without boxes: sections by `rich_help_panel`, in a third of the time that Rich takes."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from edgecat.cli.terminal.other_names import in_edgecat, keep_shipped_files

_REST = "Options"
_WHOLE = 1000  # characters, so that a first sentence is never cut


class Command(TyperCommand):
    """A command whose help lists its options by section."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse; an option that another tool has is explained in the error."""
        try:
            return super().parse_args(ctx, keep_shipped_files(args))
        except Exception as error:  # Typer has Click's exceptions, or copies of its own
            option = getattr(error, "option_name", None)
            if type(error).__name__ == "NoSuchOption" and isinstance(option, str):
                explain_option(error, option, self.get_params(ctx))
            raise

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a list of options under each heading; what has none comes last."""
        _write_options(self, ctx, formatter)


def command_group(name: str, summary: str) -> typer.Typer:
    """A group of commands that does nothing by itself but show its help."""
    return typer.Typer(
        name=name, cls=Group, help=summary, no_args_is_help=True, rich_markup_mode=None
    )


class Group(TyperGroup):
    """A group whose help lists its commands and options by section."""

    command_class = Command
    headings: tuple[str, ...] = ()  # their order; others follow

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, then the options."""
        self.format_commands(ctx, formatter)
        _write_options(self, ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a list of commands under each heading, with the first sentence of their help."""
        sections: dict[str, list[tuple[str, str]]] = {heading: [] for heading in self.headings}
        width = max((len(name) for name in self.commands), default=0)
        for name, command in self.summaries():
            if not command.hidden:
                summary = command.get_short_help_str(limit=_WHOLE)
                heading = _panel(command) or "Commands"
                sections.setdefault(heading, []).append((name.ljust(width), summary))
        _write_sections(sections, formatter)

    def summaries(self) -> list[tuple[str, Any]]:
        """Names and commands, as far as the help shows them."""
        return list(self.commands.items())


def explain_option(error: Any, option: str, parameters: list[Any]) -> None:
    """Say in an error about an unknown option what edgecat calls it."""
    known = {name for parameter in parameters for name in parameter.opts}
    if hint := in_edgecat(option, known):
        error.message = f"no such option {option}; {hint}"
        error.possibilities = None


def _write_options(command: TyperCommand | TyperGroup, ctx: Any, formatter: Any) -> None:
    sections: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(ctx):
        if record := parameter.get_help_record(ctx):
            kind = "Arguments" if parameter.param_type_name == "argument" else _REST
            names, text = record
            entry = (names, text.replace("\\[", "["))  # older Typers escape for Rich
            sections.setdefault(_panel(parameter) or kind, []).append(entry)
    rest = sections.pop(_REST, [])
    _write_sections({**sections, _REST: rest}, formatter)


def _panel(thing: Any) -> str:
    """The heading of an option or command; Typer keeps a placeholder where there is none."""
    panel = getattr(thing, "rich_help_panel", None)
    return panel if isinstance(panel, str) else ""


def _write_sections(sections: dict[str, list[tuple[str, str]]], formatter: Any) -> None:
    for heading, records in sections.items():
        if records:
            with formatter.section(heading):
                formatter.write_dl(records)
