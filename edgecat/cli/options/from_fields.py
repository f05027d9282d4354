"""Command-line options made from a configuration dataclass and its docstring."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from types import MappingProxyType
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

import typer

Command = TypeVar("Command", bound=Callable[..., Any])
_NONE: Mapping[str, Any] = MappingProxyType({})


class Bounds(NamedTuple):
    """The range of a number, for a configuration file's error message; both ends included."""

    least: float
    most: float


class Choices(NamedTuple):
    """The values that a text option accepts, for help, completion and error messages.

    Not `strict`: others may be accepted as well.
    """

    values: tuple[str, ...]
    strict: bool


def options_of(
    config: type,
    *,
    after: str,
    panels: Mapping[str, str] = _NONE,
    only: Collection[str] = (),
    without: Collection[str] = (),
    defaults: Mapping[str, Any] = _NONE,
    choices: Mapping[str, Sequence[str]] = _NONE,
    suggestions: Mapping[str, Sequence[str]] = _NONE,
    ranges: Mapping[str, tuple[float, float]] = _NONE,
    types: Mapping[str, Any] = _NONE,
    settings: Mapping[str, Mapping[str, Any]] = _NONE,
) -> Callable[[Command], Command]:
    """Give a command an option for every field of a dataclass, in place of its `**options`.

    A field becomes an option of its name, type and default, and the first sentence of its entry
    under `Attributes:` becomes the help. A boolean that is True by default gets `--x/--no-x`. The
    option of a field with `metadata={"option": False}` is hidden: only files should give it.

    Args:
        config: the dataclass.
        after: the command's own parameter that the options follow in the help.
        panels: headings of the help, each under the field that starts it.
        only: fields that get an option; empty for all.
        without: fields that get no option.
        defaults: defaults that replace those of the fields.
        choices: what text fields accept; validated by the dataclass, not by the command line.
        suggestions: like `choices`, but other values are accepted as well.
        ranges: what numbers accept; likewise validated by the dataclass.
        types: types that replace those of the fields.
        settings: more arguments of `typer.Option`, by field; `names` replaces the option's name,
            `help` the docstring's.
    """
    hints, described = get_type_hints(config), descriptions(config)

    def parameter(field: Field[Any], panel: str | None) -> inspect.Parameter:
        name, more = field.name, dict(settings.get(field.name, {}))
        default = defaults.get(name, field.default)
        known = tuple(choices.get(name, suggestions.get(name, ())))
        option = typer.Option(
            *more.pop("names", _names(field)),
            help=_help(more.pop("help", described.get(name, "")), known),
            show_default=not any(default is one for one in (None, False, "")),
            rich_help_panel=panel,
            hidden=not field.metadata.get("option", True),
            autocompletion=_completing(known) if known else None,
            **more,
        )
        hint = str if known else types.get(name, _as_text(hints[name]))
        extra: list[Any] = [Choices(known, name in choices)] if known else []
        extra += [Bounds(*ranges[name])] if name in ranges else []
        return inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=_default(default, hint),
            annotation=Annotated[(hint, option, *extra)],
        )

    def decorated(command: Command) -> Command:
        made, panel = [], None
        for field in fields(config):
            panel = panels.get(field.name, panel)
            if field.name not in without and (not only or field.name in only):
                made.append((panel, parameter(field, panel)))
        order = list(dict.fromkeys(panels.values()))
        made.sort(key=lambda one: order.index(one[0]) if one[0] else -1)
        _replace_options(command, after, [one for _, one in made])
        return command

    return decorated


def descriptions(config: type) -> dict[str, str]:
    """Return each attribute's entry in the Google-style docstring of a class, on one line."""
    section = inspect.cleandoc(config.__doc__ or "").partition("Attributes:\n")[2]
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", re.split(r"\n(?=\S)", section)[0], re.M)
    return {name: " ".join(text.split()) for name, text in entries}


def _replace_options(
    command: Callable[..., Any], after: str, made: Sequence[inspect.Parameter]
) -> None:
    signature = inspect.signature(command, eval_str=True)
    *own, _ = (
        one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in signature.parameters.values()
    )
    place = [one.name for one in own].index(after) + 1
    parameters = [*own[:place], *made, *own[place:]]
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]


def _names(field: Field[Any]) -> tuple[str, ...]:
    return ("--" + field.name.replace("_", "-"),) if field.default is False else ()


def _help(text: str, choices: Sequence[str]) -> str:
    sentence = re.split(r"(?<=\.)\s+(?=[A-Z`])", text)[0]
    if choices:
        sentence = f"{sentence.rstrip('.')}: {either(choices)}."
    return sentence[:1].upper() + sentence[1:]


def either(words: Sequence[str]) -> str:
    """Join words as `a, b or c`."""
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _as_text(hint: Any) -> Any:
    """Turn a `Literal` of numbers into one of texts, which is what Typer knows."""
    if get_origin(hint) is Literal and not isinstance(get_args(hint)[0], str):
        return Literal[tuple(str(value) for value in get_args(hint))]
    return hint


def _default(value: Any, hint: Any) -> Any:
    if value is MISSING:
        return inspect.Parameter.empty
    if hint is Path or Path in get_args(hint):
        return Path(value) if value else None
    return str(value) if get_origin(hint) is Literal else value


def _completing(choices: Sequence[str]) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        return [choice for choice in choices if choice.startswith(incomplete)]

    return complete
