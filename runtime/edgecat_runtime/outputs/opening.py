"""Outputs by their text, `NAME[:ARGUMENT]`, and the registry of kinds."""

from __future__ import annotations

from collections.abc import Callable

from edgecat_runtime.errors import UserError
from edgecat_runtime.outputs.sink import Sink
from edgecat_runtime.system.plugins import Group, find_plugin, find_plugins

OutputOpener = Callable[[str], Sink]
_GROUP: Group = "edgecat.outputs"


def register_output(name: str, open_function: OutputOpener) -> None:
    """Register an output, to be opened as `NAME[:ARGUMENT]`.

    Args:
        name: one letter or more, without a colon.
        open_function: called with what follows the colon, empty without one; returns the output,
            or raises an EdgecatError.
    """
    if not name or ":" in name:
        raise ValueError(f"the output's name is {name!r}; expected one or more letters, no colon")
    _OPENERS[name.lower()] = open_function


def output_names() -> tuple[str, ...]:
    """Names of the registered outputs and of the plug-ins, sorted; imports no plug-in."""
    return tuple(sorted({*_OPENERS, *(plugin.name.lower() for plugin in find_plugins(_GROUP))}))


def open_output(text: str) -> Sink:
    """Open an output given as text.

    Args:
        text: `NAME` or `NAME:ARGUMENT`, such as `events:events.jsonl`; the name of a registered
            output, or that of a plug-in (an entry point of `edgecat.outputs`), which is then
            imported.

    Raises:
        UserError: the name is unknown, the argument is invalid or the plug-in is broken.
    """
    name, _, argument = text.partition(":")
    opener = _OPENERS.get(name.lower())
    if opener is not None:
        return opener(argument)
    plugin = find_plugin(_GROUP, name)
    if plugin is None:
        raise UserError(
            f"output {name!r} is unknown; expected NAME or NAME:ARGUMENT with one of "
            f"{', '.join(output_names())}. Others are added with edgecat_runtime.register_output, "
            "or by installing a plug-in"
        )
    opened = plugin.load()
    if not callable(opened):
        raise plugin.broken(f"{plugin.target} is {opened!r}; expected a function (argument)")
    sink = opened(argument)
    if not isinstance(sink, Sink):
        raise plugin.broken(f"{plugin.target} returned {sink!r}; expected a Sink")
    return sink


def _argument(name: str, argument: str, what: str) -> str:
    if not argument:
        raise UserError(f"output {name} has no argument; expected {name}:{what}")
    return argument


def _events(argument: str) -> Sink:
    from edgecat_runtime.outputs.events import Events

    return Events(_argument("events", argument, "FILE"))


def _snapshots(argument: str) -> Sink:
    from edgecat_runtime.outputs.snapshots import Snapshots

    return Snapshots(_argument("snapshots", argument, "DIR"))


def _mqtt(argument: str) -> Sink:
    from edgecat_runtime.outputs.mqtt import Mqtt

    return Mqtt(_argument("mqtt", argument, "URL"))


_OPENERS: dict[str, OutputOpener] = {"events": _events, "mqtt": _mqtt, "snapshots": _snapshots}
