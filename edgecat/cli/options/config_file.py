"""`--config FILE`: a command's options from a TOML or JSON file, checked before they are used."""

from __future__ import annotations

import inspect
import json
import math
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from typer.models import OptionInfo, ParameterInfo

from edgecat.cli.options.from_fields import Bounds, Choices, either
from edgecat_runtime.errors import UserError

_ONLY_ON_THE_COMMAND_LINE = frozenset({"config", "resume", "find_lr", "list"})
_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    Path: "a path",
}


def _read(context: typer.Context, path: Path | None) -> Path | None:
    """Make the file's values the defaults of the options."""
    if path is not None and not context.resilient_parsing:
        known = inspect.signature(inspect.unwrap(_callback(context))).parameters
        command = context.info_name or "edgecat"
        context.default_map = read_options(path, known, command=command)
    return path


def _callback(context: typer.Context) -> Any:
    return context.command.callback


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        callback=_read,
        is_eager=True,
        help="Read options from a TOML file, or from a run's config.json; options on the command "
        "line override it.",
        show_default=False,
    ),
]


def read_options(
    path: Path, parameters: Mapping[str, inspect.Parameter], *, command: str
) -> dict[str, Any]:
    """Read a file of options.

    Args:
        path: JSON if it ends with `.json`, else TOML; one key per option, with `-` or `_`.
        parameters: of the command, annotated for Typer.
        command: its name, for the messages.

    Returns:
        Values by the name of the parameter; those that mean "not given" are left out.

    Raises:
        UserError: the file cannot be read, a key is unknown, or a value has the wrong type or is
            out of range.
    """
    names = _keys(parameters)
    values = {}
    for key, value in _parsed(path).items():
        name = names.get(key.replace("-", "_"))
        if name is None:
            why = _unknown(key, names, command)
            raise UserError(f"{path}: {why}")
        hint, *details = get_args(parameters[name].annotation)
        if value is None and type(None) in get_args(hint):
            continue
        accepted = _accepted(value, hint, details)
        if accepted is None:
            wanted = _expected(hint, details)
            raise UserError(f"{path}: {key} {_got(value, hint)}; expected {wanted}")
        if (value, Path in (hint, *get_args(hint))) != ("", True):
            values[name] = accepted[0]
    return values


def _keys(parameters: Mapping[str, inspect.Parameter]) -> dict[str, str]:
    """Parameters by the keys that a file may use for them: their names, and their options'."""
    found = {}
    for name, parameter in parameters.items():
        infos = [one for one in get_args(parameter.annotation) if isinstance(one, ParameterInfo)]
        if not infos or name.rstrip("_") in _ONLY_ON_THE_COMMAND_LINE:
            continue
        given = (infos[0].default, *(infos[0].param_decls or ()))  # Typer keeps the first one here
        options = [one for one in given if isinstance(one, str) and one.startswith("--")]
        for key in (name, *(one.lstrip("-").replace("-", "_") for one in options)):
            found[key] = name
    return found


def _unknown(key: str, names: Mapping[str, str], command: str) -> str:
    name = key.replace("-", "_")
    if name in _ONLY_ON_THE_COMMAND_LINE:
        return f"{key!r} is only for the command line; remove it from the file"
    if found := get_close_matches(name, names, n=1, cutoff=0.5):
        return f"unknown key {key!r}; did you mean {found[0]!r}?"
    return f"unknown key {key!r}; expected an option of `edgecat {command} --help`, without dashes"


def _parsed(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        hint = f". Give a file, such as {path / 'config.json'}" if path.is_dir() else ""
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UserError(f"cannot read the configuration {path}: {why}{hint}") from error
    kind = "JSON" if path.suffix == ".json" else "TOML"
    try:
        values = json.loads(text) if kind == "JSON" else _toml(text)
    except ValueError as error:
        raise UserError(f"{path} is not valid {kind}: {error}") from error
    if not isinstance(values, dict):
        raise UserError(f'{path} holds no options; expected an object such as {{"epochs": 10}}')
    return values


def _toml(text: str) -> Any:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(text)


def _accepted(value: Any, hint: Any, details: list[Any]) -> tuple[Any] | None:
    """The value as the command line takes it, in a tuple; None if it does not fit."""
    kind = _kind(hint)
    if get_origin(kind) is list:
        items = [_accepted(one, get_args(kind)[0], []) for one in _listed(value)]
        return None if not items or None in items else ([one[0] for one in items if one],)
    if kind is bool or isinstance(value, bool):
        return (value,) if kind is bool and isinstance(value, bool) else None
    if kind in (int, float):
        fits = isinstance(value, int if kind is int else (int, float)) and math.isfinite(value)
        least, most = _bounds(details)
        return (value,) if fits and least <= value <= most else None
    text = str(value) if isinstance(value, int) else value
    allowed = _allowed(kind, details)
    fits = isinstance(text, str) and (not allowed or text in allowed)
    return (text,) if fits else None


def _got(value: Any, hint: Any) -> str:
    """What a key holds; of a list, only what is wrong, since addresses may contain passwords."""
    if isinstance(value, list) and get_origin(_kind(hint)) is list:
        item = get_args(_kind(hint))[0]
        wrong = [one for one in value if _accepted(one, item, []) is None]
        return f"contains {_shown(wrong[0])}" if wrong else "is empty"
    return f"is {_shown(value)}"


def _shown(value: Any) -> str:
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "a table"
    return json.dumps(value, ensure_ascii=False, default=str)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _kind(hint: Any) -> Any:
    """The type without `| None`."""
    return next((one for one in get_args(hint) if type(None) in get_args(hint)), hint)


def _bounds(details: list[Any]) -> tuple[float, float]:
    for one in details:
        if isinstance(one, Bounds):
            return one
        if isinstance(one, OptionInfo) and (one.min is not None or one.max is not None):
            least, most = one.min, one.max
            return (-math.inf if least is None else least, math.inf if most is None else most)
    return -math.inf, math.inf


def _allowed(kind: Any, details: list[Any]) -> tuple[str, ...]:
    if get_origin(kind) is Literal:
        return get_args(kind)
    # Other architectures than those suggested have names too, such as `vgg16_bn`.
    return next((one.values for one in details if isinstance(one, Choices) and one.strict), ())


def _expected(hint: Any, details: list[Any]) -> str:
    kind = _kind(hint)
    if get_origin(kind) is list:
        return f"{_WORDS[get_args(kind)[0]]}, or a list of them"
    if allowed := _allowed(kind, details):
        return either(allowed)
    least, most = _bounds(details)
    if most < math.inf:
        return f"{_WORDS[kind]} from {_plain(least)} to {_plain(most)}"
    return _WORDS[kind] + (f" of at least {_plain(least)}" if least > -math.inf else "")


def _plain(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else f"{number:g}"
