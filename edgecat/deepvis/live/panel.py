"""The panel in the camera's web page."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from edgecat.deepvis.actions import ACTIONS, BY_KEY, GROUPS, Action, key_name
from edgecat.deepvis.desk import Desk
from edgecat.deepvis.layers import Layer
from edgecat.deepvis.live.show import Show
from edgecat.deepvis.state import State, Unit
from edgecat_runtime.errors import UserError
from edgecat_runtime.web import Panel

NAME, TALL = "deepvis", "tall"
Message = dict[str, Any]


def deepvis_panel(
    show: Show, desk: Desk, layers: Sequence[Layer], *, may_quit: bool = False
) -> Panel:
    """Make the panel: the live view, a button per action, and a layer selector.

    Args:
        show: the live view.
        desk: receives the viewers' actions.
        layers: the network's layers.
        may_quit: whether viewers may stop the loop.
    """

    def act(action: Action) -> Callable[[Message], Message]:
        def acted(message: Message) -> Message:
            if action.name == "quit" and not may_quit:
                raise UserError("not permitted: the operator did not set --web-control")
            return _status(desk.act(action.name), show)

        return acted

    def select(message: Message) -> Message:
        unit = Unit(_number(message, "layer", int), _number(message, "unit", int))
        return _status(desk.select(unit), show)

    def click(message: Message) -> Message:
        x, y = (_number(message, axis, float) for axis in ("x", "y"))
        return _status(show.click(x, y, tall=message.get("view") == TALL), show)

    actions: dict[str, Callable[[Message], Message]] = {a.name: act(a) for a in ACTIONS}
    actions |= {
        "select": select,
        "click": click,
        "status": lambda message: _status(desk.state, show),
    }
    return Panel(
        NAME,
        "Network visualisation",
        html=_html(layers, may_quit=may_quit),
        script=_text("panel.js"),
        style=_text("panel.css"),
        actions=actions,
        picture=show.picture,
        views={TALL: show.tall_picture},
    )


def _number(message: Message, name: str, kind: type) -> Any:
    value = message.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, kind)):
        raise UserError(f"{name} is {value!r}; expected a number")
    return value


def _status(state: State, show: Show) -> Message:
    """Return the status for the page: the cursor, the lit buttons and what is where."""
    lit = [action.name for action in ACTIONS if action.active and action.active(state)]
    places = {"": show.newest, TALL: show.tall}
    return {
        "layer": state.unit.layer,
        "unit": state.unit.channel,
        "lit": lit,
        "quit": state.quit,
        "places": {view: shown.places() for view, shown in places.items() if shown is not None},
    }


def _html(layers: Sequence[Layer], *, may_quit: bool) -> str:
    keys = {key: action.name for key, action in BY_KEY.items() if may_quit or action.name != "quit"}
    choices = "".join(
        f'<option value="{number}">{escape(str(layer))}</option>'
        for number, layer in enumerate(layers)
    )
    groups = "".join(
        f'<div class="group" role="group" aria-label="{escape(title)}"><h3>{escape(title)}</h3>'
        f'<div class="keys">{"".join(_button(action, may_quit) for action in group)}</div></div>'
        for title, group in GROUPS.items()
    )
    return (
        f'<div id="deepvis" data-keys="{escape(json.dumps(keys))}">'
        '<img id="deepvis-picture" width="1280" height="720" decoding="async" '
        'alt="The network input, the maps of the selected layer and what drives the selected unit">'
        '<p id="deepvis-said" role="alert"></p>'
        f'<label class="layers">Layer <select id="deepvis-layer">{choices}</select></label>'
        f'<div class="groups">{groups}</div></div>'
    )


def _button(action: Action, may_quit: bool) -> str:
    if action.name == "quit" and not may_quit:
        return ""
    keys = ", ".join(map(key_name, action.keys))
    toggles = "" if action.active is None else ' aria-pressed="false"'
    return (
        f'<button type="button" class="button" data-action="{action.name}"{toggles} '
        f'title="{escape(f"{action.description} ({keys})")}">{escape(action.label)}'
        f"<kbd>{escape(key_name(action.keys[0]))}</kbd></button>"
    )


def _text(name: str) -> str:
    return files("edgecat.deepvis.live").joinpath(name).read_text(encoding="utf-8")
