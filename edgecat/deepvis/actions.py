"""The actions that change the state, and their key bindings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from edgecat.deepvis.rendering import RENDERINGS
from edgecat.deepvis.state import BACKWARDS, FITS, LEAST_BOOST, MOST_BOOST, ZOOMS, Scene, State

Value = TypeVar("Value")
FAST = 10
Change = Callable[[State, Scene], State]
_KEY_NAMES = {
    "ArrowLeft": "left",
    "ArrowRight": "right",
    "ArrowUp": "up",
    "ArrowDown": "down",
    "PageUp": "page up",
    "PageDown": "page down",
    "Escape": "esc",
    " ": "space",
}


@dataclass(frozen=True)
class Action:
    """One user action.

    Attributes:
        name: letters, digits and `-`; also used in the panel's address.
        keys: in browser notation (`KeyboardEvent.key`).
        label: label of its button.
        description: short description for the help.
        change: computes the next state.
        active: whether its button is lit; None: never.
    """

    name: str
    keys: tuple[str, ...]
    label: str
    description: str
    change: Change
    active: Callable[[State], bool] | None = None


def _after(values: tuple[Value, ...], value: Value) -> Value:
    return values[(values.index(value) + 1) % len(values)]


def _step(columns: int = 0, rows: int = 0) -> Change:
    """Move the cursor in the grid; it stops at the edges."""

    def change(state: State, scene: Scene) -> State:
        units = scene.layers[state.unit.layer]
        width = scene.columns
        row, column = divmod(state.unit.channel, width)
        if rows:
            there = min(max(row + rows, 0), (units - 1) // width)
            channel = min(there * width + column, units - 1)
        else:
            channel = state.unit.channel + columns
        return replace(state, unit=scene.clamped(replace(state.unit, channel=channel)))

    return change


def _layer(by: int) -> Change:
    def change(state: State, scene: Scene) -> State:
        return replace(state, unit=scene.clamped(replace(state.unit, layer=state.unit.layer + by)))

    return change


def _picture(by: int) -> Change:
    """Go to another still image, wrapping around."""

    def change(state: State, scene: Scene) -> State:
        if not scene.pictures:
            return state
        picture = (state.picture + by) % scene.pictures if state.still else state.picture
        return replace(state, still=True, frozen=False, picture=picture)

    return change


def _toggle_source(state: State, scene: Scene) -> State:
    still = bool(scene.pictures) and (not state.still or not scene.camera)
    return replace(state, still=still, frozen=False)


def _hold(state: State, scene: Scene) -> State:
    return replace(state, held=None if state.held else state.unit)


def _zoom(state: State, scene: Scene) -> State:
    there_is = ZOOMS if state.back != "off" else ZOOMS[:-1]
    zoom = _after(there_is, state.zoom) if state.zoom in there_is else ZOOMS[0]
    return replace(state, zoom=zoom)


def _boost(by: int) -> Change:
    def change(state: State, scene: Scene) -> State:
        return replace(state, boost=min(max(state.boost + by, LEAST_BOOST), MOST_BOOST))

    return change


def _reset(state: State, scene: Scene) -> State:
    """Close the help if it is open, else restore the initial view of the same layer."""
    if state.help:
        return replace(state, help=False)
    return State(unit=state.unit, still=state.still, picture=state.picture, fit=state.fit)


def _switch(name: str, keys: tuple[str, ...], label: str, description: str, what: str) -> Action:
    """Make an action that toggles one field of the state."""

    def change(state: State, scene: Scene) -> State:
        return replace(state, **{what: not getattr(state, what)})  # type: ignore[arg-type]

    return Action(name, keys, label, description, change, lambda state: bool(getattr(state, what)))


GROUPS: dict[str, tuple[Action, ...]] = {
    "Network": (
        Action("left", ("ArrowLeft", "j"), "←", "the unit to the left", _step(-1)),
        Action("right", ("ArrowRight", "l"), "→", "the unit to the right", _step(1)),
        Action("up", ("ArrowUp", "i"), "↑", "the unit above", _step(rows=-1)),
        Action("down", ("ArrowDown", "k"), "↓", "the unit below", _step(rows=1)),
        Action("left-fast", ("J",), "«", f"{FAST} units to the left", _step(-FAST)),
        Action("right-fast", ("L",), "»", f"{FAST} units to the right", _step(FAST)),
        Action("previous-layer", ("u", "PageUp"), "Layer ↑", "the previous layer", _layer(-1)),
        Action("next-layer", ("o", "PageDown"), "Layer ↓", "the next layer", _layer(1)),
    ),
    "Input": (
        _switch("freeze", ("f", " "), "Freeze", "freeze or resume the frames", "frozen"),
        Action(
            "still",
            ("c",),
            "Still images",
            "switch between still images and the camera",
            _toggle_source,
            lambda state: state.still,
        ),
        Action("previous-picture", ("w",), "Image ←", "the previous image", _picture(-1)),
        Action("next-picture", ("e",), "Image →", "the next image", _picture(1)),
        Action(
            "fit",
            ("x",),
            "Stretch",
            "stretch or crop the frame to fit the input",
            lambda state, scene: replace(state, fit=_after(FITS, state.fit)),
            lambda state: state.fit == "stretch",
        ),
    ),
    "Back-propagation": (
        Action(
            "back",
            ("b",),
            "Back-propagate",
            "gradient, guided, deconvolution, off",
            lambda state, scene: replace(state, back=_after(BACKWARDS, state.back)),
            lambda state: state.back != "off",
        ),
        Action(
            "look",
            ("n",),
            "Look",
            "show raw, grey, norm, blurred norm",
            lambda state, scene: replace(state, look=_after(RENDERINGS, state.look)),
            lambda state: state.look != "raw",
        ),
        Action(
            "hold",
            ("d",),
            "Hold unit",
            "hold this unit while the cursor moves",
            _hold,
            lambda state: state.held is not None,
        ),
        _switch(
            "derivatives", ("a",), "Derivatives", "show derivatives or activations", "derivatives"
        ),
    ),
    "Show": (
        _switch("heat", ("m",), "Heat map", "Grad-CAM of the prediction", "heat"),
        Action(
            "zoom",
            ("z",),
            "Enlarge",
            "the unit's map, its pixels, all maps",
            _zoom,
            lambda state: state.zoom != "maps",
        ),
        _switch("about", ("9",), "About the unit", "what excites the unit most", "about"),
        _switch("filters", ("1",), "Filters", "filters of the first layer", "filters"),
        _switch("top", ("5",), "Top 5", "the most probable classes", "top"),
        Action("brighter", ("+", "="), "Brighter", "amplify small values", _boost(1)),
        Action("darker", ("-",), "Darker", "attenuate small values", _boost(-1)),
    ),
    "More": (
        Action("reset", ("Escape",), "Reset", "close the help or restore the initial view", _reset),
        _switch("help", ("h", "?"), "Help", "show this help", "help"),
        Action("quit", ("q",), "Quit", "quit", lambda state, scene: replace(state, quit=True)),
    ),
}


ACTIONS: tuple[Action, ...] = tuple(action for group in GROUPS.values() for action in group)


BY_NAME = {action.name: action for action in ACTIONS}


BY_KEY = {key: action for action in ACTIONS for key in action.keys}


def key_name(key: str) -> str:
    """Return a key as labelled on the keyboard; a capital is typed with shift."""
    return _KEY_NAMES.get(key, f"shift {key.lower()}" if key.isupper() else key)


def help_lines() -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the help: the keys and description of each action, by group."""
    return [
        (title, [(", ".join(map(key_name, action.keys)), action.description) for action in group])
        for title, group in GROUPS.items()
    ]
