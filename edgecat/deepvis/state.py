"""What a live look into a network shows, and the one table of actions that change it.

The window's keys, the page's keys and buttons and the help text are all made from `ACTIONS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgecat.deepvis.pictures import Look
from edgecat.deepvis.propagation import HOWS, How

Fit = Literal["crop", "stretch"]
Back = Literal["off"] | How
Zoom = Literal["maps", "unit", "back"]

FITS: tuple[Fit, ...] = ("crop", "stretch")
BACKS: tuple[Back, ...] = ("off", *HOWS)
ZOOMS: tuple[Zoom, ...] = ("maps", "unit", "back")
LEAST_BOOST, MOST_BOOST = -4, 8
GAMMA = 0.75


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
