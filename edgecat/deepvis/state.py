"""The state of a live session, changed by the actions of one table.

The window's keys, the page's keys and buttons and the help text are generated from `ACTIONS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgecat.deepvis.propagation import PROPAGATIONS, Propagation
from edgecat.deepvis.rendering import Rendering

Fit = Literal["crop", "stretch"]
Backward = Literal["off"] | Propagation
Zoom = Literal["maps", "unit", "back"]

FITS: tuple[Fit, ...] = ("crop", "stretch")
BACKWARDS: tuple[Backward, ...] = ("off", *PROPAGATIONS)
ZOOMS: tuple[Zoom, ...] = ("maps", "unit", "back")
LEAST_BOOST, MOST_BOOST = -4, 8
GAMMA = 0.75


@dataclass(frozen=True)
class Unit:
    """One unit of a network.

    Attributes:
        layer: index of its layer, from 0.
        channel: its index within the layer, from 0.
    """

    layer: int = 0
    channel: int = 0


@dataclass(frozen=True)
class Scene:
    """The limits of a state.

    Attributes:
        layers: number of units per layer, in network order.
        pictures: number of still images.
        camera: whether there is a live source besides.
        columns: number of columns of the grid.
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
    """The state of the view; immutable.

    Attributes:
        unit: the unit under the cursor; its layer is shown.
        held: the unit whose derivative is shown while the cursor moves; None: `unit`.
        frozen: whether the current frame is kept.
        still: whether a still image is shown instead of the camera.
        picture: index of the still image.
        fit: how a frame is fitted to the network's input.
        back: the back-propagation method.
        look: how the result is rendered.
        derivatives: whether the grid shows derivatives by the maps instead of the maps.
        boost: amplification of small values; see `gamma`.
        heat: whether the Grad-CAM heat map is overlaid on the input.
        top: whether the most probable classes are listed.
        about: whether the panel of the unit's synthesised image and top images is shown.
        filters: whether the filters of the first layer are shown instead of the grid.
        zoom: content of the centre: all maps, the unit's map, or its back-propagation.
        help: whether the help is shown.
        quit: whether the user has asked to quit.
    """

    unit: Unit = Unit()
    held: Unit | None = None
    frozen: bool = False
    still: bool = False
    picture: int = 0
    fit: Fit = "crop"
    back: Backward = "off"
    look: Rendering = "raw"
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
        """The exponent for values of 0..1; below 1, small values become visible."""
        return GAMMA**self.boost

    @property
    def target(self) -> Unit:
        """The unit whose derivative is computed."""
        return self.held or self.unit
