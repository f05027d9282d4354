"""Sources by their text, and the registry of kinds."""

from __future__ import annotations

import os
import re
from pathlib import Path

from edgecat_runtime.camera.redaction import redacted
from edgecat_runtime.camera.source import (
    NO_OPTIONS,
    SOURCES,
    Source,
    SourceOpener,
    SourceOptions,
)
from edgecat_runtime.errors import UserError
from edgecat_runtime.system.paths import exists
from edgecat_runtime.system.plugins import Group, find_plugin, find_plugins

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # two letters at least: C: is a drive
_MEMORY = ("/dev/shm/", "/dev/fd/")  # files
_GROUP: Group = "edgecat.sources"
_SCHEMES: dict[str, SourceOpener] = {}
_EXAMPLES: dict[str, str] = {}


def register_source(scheme: str, open_function: SourceOpener, *, example: str = "") -> None:
    """Register `scheme:...` as a source, as in `synthetic://pets`.

    Args:
        scheme: two characters or more, without the colon.
        open_function: called with the whole text and the options; returns an open source or raises
            an EdgecatError. The caller handles `rotate`, `flip` and `roi`.
        example: shown in lists; empty: `scheme:...`.
    """
    if not _SCHEME.fullmatch(f"{scheme}:"):
        raise ValueError(f"scheme is {scheme!r}; expected two or more letters, digits, + . -")
    _SCHEMES[scheme.lower()] = open_function
    _EXAMPLES[scheme.lower()] = example or f"{scheme}:..."


def registered_examples() -> tuple[str, ...]:
    """An example of each registered scheme and each plug-in, sorted; imports no plug-in."""
    plugins = {plugin.name.lower(): f"{plugin.name}:..." for plugin in find_plugins(_GROUP)}
    examples = plugins | _EXAMPLES
    return tuple(examples[scheme] for scheme in sorted(examples))


def open_source(text: str | int | Path, options: SourceOptions = NO_OPTIONS) -> Source:
    """Open a source given as text.

    Args:
        text: a camera number, a `/dev/videoN`, a video file, an image, a folder or a glob of
            images, `screen`, an address: `rtsp://`, `http://`, `csi://`, `gst:`, a registered
            scheme, or that of a plug-in (an entry point of `edgecat.sources`); or `env:NAME`, for
            any of these in an environment variable.
        options: how to open it.

    Raises:
        UserError: the text is empty, the source does not exist or cannot be read, or it does not
            support an option; or its plug-in is broken.
        DeviceError: the camera does not exist or cannot be opened.
    """
    from edgecat_runtime.camera import sources

    text = _from_environment(str(text))
    if not text:  # an empty path would mean the current folder
        raise UserError(f"--source is empty; expected {SOURCES}. Is a shell variable unset?")
    if "\0" in text:
        raise UserError(f"source {text!r} contains a null character; expected {SOURCES}")
    if re.fullmatch(r"[0-9]+", text) or _is_device(Path(text)):
        return sources.open_webcam(text, options)
    match = _SCHEME.match(text)
    if text in sources.WORDS and not exists(text):
        return sources.WORDS[text](text, options)
    if match is None or ("://" not in text and sources.has_files(text)):
        return sources.open_file(text, options)
    scheme = match[1].lower()
    opener = {**sources.SCHEMES, **_SCHEMES}.get(scheme) or _plugin_opener(scheme)
    if opener is None:
        known = {*sources.SCHEMES, *_SCHEMES, *(one.name for one in find_plugins(_GROUP))}
        others = ", ".join(f"{scheme}:..." for scheme in sorted(known))
        raise UserError(
            f"source {redacted(text)!r} has an unknown scheme; expected {SOURCES}, or "
            f"one of {others}. Others are added with edgecat_runtime.register_source, or by "
            "installing a plug-in"
        )
    return opener(text, options)


def _plugin_opener(scheme: str) -> SourceOpener | None:
    """Import the plug-in for a scheme, if one is installed."""
    plugin = find_plugin(_GROUP, scheme)
    if plugin is None:
        return None
    opener: SourceOpener = plugin.load()
    if not callable(opener):
        raise plugin.broken(f"{plugin.target} is {opener!r}; expected a function (text, options)")
    return opener


def _is_device(path: Path) -> bool:
    """Whether a path is a device, or the place of one that is not connected now."""
    if exists(path):
        return path.is_char_device()
    absolute = os.path.abspath(path)  # noqa: PTH100
    return absolute.startswith("/dev/") and not absolute.startswith(_MEMORY)


def _from_environment(text: str) -> str:
    """Return the source that `env:NAME` stands for; command lines are seen by every user."""
    scheme, _, name = text.partition(":")
    if scheme.lower() != "env" or exists(text):
        return text
    if not (found := os.environ.get(name, "").strip()):
        raise UserError(
            f"source {text}: the environment variable {name!r} is not set; expected a source, such "
            "as rtsp://user:password@host/path"
        )
    return found
