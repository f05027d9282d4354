"""Plug-ins: sources, backends and outputs of other distributions, found by their entry points.

Listing them reads the metadata of installed distributions and imports nothing. A plug-in is
imported when its name is asked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, distributions
from typing import Any, Literal

from edgecat_runtime.errors import UserError

Group = Literal["edgecat.sources", "edgecat.backends", "edgecat.outputs"]
GROUPS: tuple[Group, ...] = ("edgecat.sources", "edgecat.backends", "edgecat.outputs")


@dataclass(frozen=True)
class Plugin:
    """One entry point of an installed distribution.

    Attributes:
        group: `edgecat.sources`, `edgecat.backends` or `edgecat.outputs`.
        name: what a user writes to ask for it; without regard to case.
        distribution: name and version of the distribution that it belongs to.
        target: what it refers to, `module:object`.
    """

    group: Group
    name: str
    distribution: str
    target: str

    def load(self) -> Any:
        """Import what it refers to.

        Raises:
            UserError: it cannot be imported, whatever the cause.
        """
        try:
            return EntryPoint(self.name, self.target, self.group).load()
        except Exception as error:
            raise self.broken(f"importing {self.target} raised {_line(error)}") from error

    def broken(self, why: str) -> UserError:
        """The error for a plug-in that does not work."""
        return UserError(
            f"the plug-in {self.name!r} ({self.group}) of {self.distribution} is broken: {why}. "
            "Reinstall or upgrade that package, or uninstall it"
        )

    def __str__(self) -> str:
        kind = self.group.partition(".")[2].removesuffix("s")
        return f"{kind} {self.name} ({self.distribution})"


def find_plugins(group: Group | None = None) -> tuple[Plugin, ...]:
    """All installed plug-ins of one group, or of all, sorted; imports none of them.

    Distributions whose metadata cannot be read are left out, as are those that are hidden by
    another installation of the same distribution earlier on `sys.path`.
    """
    found: dict[str, list[Plugin]] = {}
    for distribution in distributions():
        if points := _entry_points(distribution):
            name = re.sub(r"[-_.]+", "-", str(distribution.metadata["Name"])).lower()
            found.setdefault(name, [_plugin(point, distribution) for point in points])
    plugins = (plugin for each in found.values() for plugin in each)
    return tuple(
        sorted(
            (plugin for plugin in plugins if group in (None, plugin.group)),
            key=lambda plugin: (GROUPS.index(plugin.group), plugin.name, plugin.distribution),
        )
    )


def find_plugin(group: Group, name: str) -> Plugin | None:
    """The plug-in of this name, not yet imported; None if there is none.

    Raises:
        UserError: several distributions have one of this name.
    """
    named = [plugin for plugin in find_plugins(group) if plugin.name.lower() == name.lower()]
    if len(named) > 1:
        raise UserError(
            f"{len(named)} plug-ins ({group}) are named {name!r}, of "
            f"{' and '.join(plugin.distribution for plugin in named)}; expected one. "
            "Uninstall the others"
        )
    return named[0] if named else None


def _entry_points(distribution: Distribution) -> list[EntryPoint]:
    try:
        return [point for point in distribution.entry_points if point.group in GROUPS]
    except Exception:  # malformed metadata of one distribution must not hide the others
        return []


def _plugin(point: EntryPoint, distribution: Distribution) -> Plugin:
    group: Any = point.group
    about = f"{distribution.metadata['Name']} {distribution.metadata['Version']}"
    return Plugin(group, point.name, about, point.value)


def _line(error: Exception) -> str:
    """The exception in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")
