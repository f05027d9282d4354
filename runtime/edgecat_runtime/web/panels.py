"""Panels: parts that other code adds to the camera's page."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Action = Callable[[dict[str, Any]], dict[str, Any]]
Upload = Callable[[bytes, Mapping[str, str]], dict[str, Any]]
File = Callable[[Mapping[str, str]], tuple[bytes, str]]

_NAME = re.compile(r"[a-z][a-z0-9-]*")


@dataclass(frozen=True)
class Panel:
    """A part of the page with its own image and actions.

    Its functions are called one at a time on a thread of the server, never on the loop's. Anyone
    who may watch may also act: an action should only change what the panel shows.

    Attributes:
        name: letters, digits and `-`, as in its addresses.
        title: its heading.
        html: a trusted fragment. `/panels/NAME/stream?width=640&fps=10` is its image.
        script: the source of a JavaScript module, run once the fragment is loaded. The page forbids
            inline scripts and resources from other hosts.
        style: CSS.
        actions: functions by name: POST a JSON object to `/panels/NAME/ACTION` and receive the
            return value as JSON. An EdgecatError becomes a 400 with its message.
        uploads: functions by name: POST a file's bytes, at most 16 MB, to
            `/panels/NAME/upload/UPLOAD?key=value` and receive the return value as JSON. They are
            called with the bytes and the query; errors are those of actions.
        file: returns body and content type of `/panels/NAME/file?key=value`, called with the query.
        picture: returns the newest image, uint8 (h, w, 3) BGR, None if there is none, or the same
            array as before if it has not changed.
        views: further images by name, as `picture`: `/panels/NAME/stream?view=VIEW`.

    Example:
        >>> count = {"presses": 0}
        >>> def press(message):
        ...     count["presses"] += 1
        ...     return count
        >>> panel = Panel("button", "A button", "<button>Press</button>", actions={"press": press})
    """

    name: str
    title: str
    html: str = ""
    script: str = ""
    style: str = ""
    actions: Mapping[str, Action] = field(default_factory=dict)
    uploads: Mapping[str, Upload] = field(default_factory=dict)
    file: File | None = None
    picture: Callable[[], NDArray[np.uint8] | None] | None = None
    views: Mapping[str, Callable[[], NDArray[np.uint8] | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (self.name, *self.actions, *self.uploads):
            if not _NAME.fullmatch(name):
                raise ValueError(f"the panel's name or action is {name!r}; expected a-z, 0-9, -")
        if "stream" in self.actions:
            raise ValueError("a panel's action cannot be named stream: that is its image")


_PANELS: dict[str, Panel] = {}


def register_panel(panel: Panel) -> None:
    """Add a panel to every page that is opened from now on; one of the same name is replaced."""
    _PANELS[panel.name] = panel


def registered_panels() -> tuple[Panel, ...]:
    """The panels, in the order in which they were registered."""
    return tuple(_PANELS.values())
