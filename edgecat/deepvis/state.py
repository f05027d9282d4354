"""What a live look into a network shows, and the one table of actions that change it.

The window's keys, the page's keys and buttons and the help text are all made from `ACTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Lock
from typing import Literal, TypeVar

from edgecat.deepvis.pictures import LOOKS, Look
from edgecat.deepvis.probe import HOWS, How
from edgecat_runtime.errors import UserError

Fit = Literal["crop", "stretch"]
Back = Literal["off"] | How
Zoom = Literal["maps", "unit", "back"]
Value = TypeVar("Value")

FITS: tuple[Fit, ...] = ("crop", "stretch")
BACKS: tuple[Back, ...] = ("off", *HOWS)
ZOOMS: tuple[Zoom, ...] = ("maps", "unit", "back")
LEAST_BOOST, MOST_BOOST = -4, 8
GAMMA = 0.75
FAST = 10


@dataclass(frozen=True)
class Unit:
    """One unit of a network.

    Attributes:
        layer: number of its layer, from 0.
        channel: its number within the layer, from 0.
    """

    layer: int = 0
    channel: int = 0


@dataclass(frozen=True)
class Scene:
    """What a state can point at.

    Attributes:
        layers: number of units of each layer, in the order of the network.
        pictures: how many still pictures there are.
        camera: whether there is a moving source beside them.
        columns: how many units stand side by side in the grid.
    """

    layers: tuple[int, ...]
    pictures: int = 0
    camera: bool = True
    columns: int = 8

    def clamped(self, unit: Unit) -> Unit:
        """Return the nearest unit that exists."""
        layer = min(max(unit.layer, 0), len(self.layers) - 1)
        return Unit(layer, min(max(unit.channel, 0), self.layers[layer] - 1))


@dataclass(frozen=True)
class State:
    """What is shown; never changed, only replaced.

    Attributes:
        unit: under the cursor; its layer is the one shown.
        held: whose derivative is followed while the cursor moves; None: that of `unit`.
        frozen: the newest frame stays.
        still: a still picture is looked at, not the camera.
        picture: number of that still picture.
        fit: how a frame becomes the network's input.
        back: how the unit is propagated back to the pixels.
        look: how the result is shown.
        derivatives: the grid shows derivatives with respect to the maps, not the maps.
        boost: how much small values are raised; see `gamma`.
        heat: whether the Grad-CAM heat map lies over the input.
        top: whether the most probable classes are listed.
        about: whether the unit's own panel is shown: its synthesised image and its top pictures.
        filters: whether the filters of the first layer are shown in place of the grid.
        zoom: what fills the middle: all maps, the unit's map, or its picture in the pixels.
        help: whether the bindings are shown.
        quit: whether the user has asked to end.
    """

    unit: Unit = Unit()
    held: Unit | None = None
    frozen: bool = False
    still: bool = False
    picture: int = 0
    fit: Fit = "crop"
    back: Back = "off"
    look: Look = "raw"
    derivatives: bool = False
    boost: int = 0
    heat: bool = False
    top: bool = True
    about: bool = True
    filters: bool = False
    zoom: Zoom = "maps"
    help: bool = False
    quit: bool = False

    @property
    def gamma(self) -> float:
        """The exponent for values of 0..1: below 1 small ones become visible."""
        return GAMMA**self.boost

    @property
    def target(self) -> Unit:
        """Whose derivative is worked out."""
        return self.held or self.unit


Change = Callable[[State, Scene], State]


@dataclass(frozen=True)
class Action:
    """One thing that a person can do.

    Attributes:
        name: letters, digits and `-`; of the panel's address too.
        keys: as browsers name them (`KeyboardEvent.key`).
        label: on its button.
        description: a clause for the help.
        change: the next state.
        active: whether its button is lit; None: it never is.
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
    """Go to another still picture, round and round."""

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
    """Close the help first, else show what was shown at the start, on the same layer."""
    if state.help:
        return replace(state, help=False)
    return State(unit=state.unit, still=state.still, picture=state.picture, fit=state.fit)


def _switch(name: str, keys: tuple[str, ...], label: str, description: str, what: str) -> Action:
    """An action that turns one part of the state on and off."""

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
        Action("previous-layer", ("u", "PageUp"), "Layer ↑", "the layer before", _layer(-1)),
        Action("next-layer", ("o", "PageDown"), "Layer ↓", "the layer after", _layer(1)),
    ),
    "Input": (
        _switch("freeze", ("f", " "), "Freeze", "keep this frame, or go on", "frozen"),
        Action(
            "still",
            ("c",),
            "Still pictures",
            "still pictures, or the camera",
            _toggle_source,
            lambda state: state.still,
        ),
        Action("previous-picture", ("w",), "Picture ←", "the picture before", _picture(-1)),
        Action("next-picture", ("e",), "Picture →", "the picture after", _picture(1)),
        Action(
            "fit",
            ("x",),
            "Stretch",
            "stretch the frame into the input, or crop it",
            lambda state, scene: replace(state, fit=_after(FITS, state.fit)),
            lambda state: state.fit == "stretch",
        ),
    ),
    "Back to the pixels": (
        Action(
            "back",
            ("b",),
            "Back-propagate",
            "by gradient, guided, by deconvolution, off",
            lambda state, scene: replace(state, back=_after(BACKS, state.back)),
            lambda state: state.back != "off",
        ),
        Action(
            "look",
            ("n",),
            "Look",
            "shown raw, grey, as its norm, the norm blurred",
            lambda state, scene: replace(state, look=_after(LOOKS, state.look)),
            lambda state: state.look != "raw",
        ),
        Action(
            "hold",
            ("d",),
            "Hold unit",
            "follow this unit while the cursor moves",
            _hold,
            lambda state: state.held is not None,
        ),
        _switch("derivatives", ("a",), "Derivatives", "derivatives, or activations", "derivatives"),
    ),
    "Show": (
        _switch("heat", ("m",), "Heat map", "where the answer comes from: Grad-CAM", "heat"),
        Action(
            "zoom",
            ("z",),
            "Enlarge",
            "the unit in the middle, its pixels, all maps",
            _zoom,
            lambda state: state.zoom != "maps",
        ),
        _switch("about", ("9",), "About the unit", "what drives the unit most", "about"),
        _switch("filters", ("1",), "Filters", "the filters of the first layer", "filters"),
        _switch("top", ("5",), "Top 5", "the most probable classes", "top"),
        Action("brighter", ("+", "="), "Brighter", "raise small values", _boost(1)),
        Action("darker", ("-",), "Darker", "lower small values", _boost(-1)),
    ),
    "More": (
        Action("reset", ("Escape",), "Reset", "close the help, or show as at the start", _reset),
        _switch("help", ("h", "?"), "Help", "these lines", "help"),
        Action("quit", ("q",), "Quit", "end", lambda state, scene: replace(state, quit=True)),
    ),
}
ACTIONS: tuple[Action, ...] = tuple(action for group in GROUPS.values() for action in group)
BY_NAME = {action.name: action for action in ACTIONS}
BY_KEY = {key: action for action in ACTIONS for key in action.keys}

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


def key_name(key: str) -> str:
    """A key as a person reads it on the keyboard; a capital is typed with shift."""
    return _KEY_NAMES.get(key, f"shift {key.lower()}" if key.isupper() else key)


def help_lines() -> list[tuple[str, list[tuple[str, str]]]]:
    """The help: by group, the keys and the description of each action."""
    return [
        (title, [(", ".join(map(key_name, action.keys)), action.description) for action in group])
        for title, group in GROUPS.items()
    ]


class Desk:
    """The one state, which several faces change and one loop reads; for any thread.

    Args:
        scene: what there is to point at.
        state: at the start.
    """

    def __init__(self, scene: Scene, state: State | None = None) -> None:
        self.scene = scene
        self._state = state or State()
        self._lock = Lock()
        self._listeners: list[Callable[[State], None]] = []

    @property
    def state(self) -> State:
        """The newest state."""
        return self._state

    def act(self, name: str) -> State:
        """Do one action, by its name, and return the new state.

        Raises:
            UserError: there is no such action.
        """
        if name not in BY_NAME:
            raise UserError(f"there is no action {name!r}; expected one of {', '.join(BY_NAME)}")
        return self._change(lambda state: BY_NAME[name].change(state, self.scene))

    def press(self, key: str) -> bool:
        """Do what a key is bound to; whether it is bound."""
        action = BY_KEY.get(key)
        if action is not None:
            self.act(action.name)
        return action is not None

    def select(self, unit: Unit) -> State:
        """Put the cursor on a unit, or on the nearest that exists."""
        return self._change(lambda state: replace(state, unit=self.scene.clamped(unit)))

    def lay_out(self, columns: int) -> None:
        """Be told how many units stand side by side now."""
        self.scene = replace(self.scene, columns=max(1, columns))

    def listen(self, listener: Callable[[State], None]) -> None:
        """Call a function with every new state, in the thread that changed it."""
        self._listeners.append(listener)

    def _change(self, change: Callable[[State], State]) -> State:
        with self._lock:
            before = self._state
            state = self._state = change(before)
        if state != before:
            for listener in self._listeners:
                listener(state)
        return state
