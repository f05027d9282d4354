"""What the live picture is made from, and what lies where in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from edgecat.deepvis.layers import Layer
from edgecat.deepvis.live.canvas import Box
from edgecat.deepvis.pictures import Grid
from edgecat.deepvis.probe import Seen
from edgecat.deepvis.state import State, Unit
from edgecat_runtime.types import Image, Values


@dataclass(frozen=True)
class About:
    """What is known of a unit beforehand.

    Attributes:
        synthesised: the picture that drives it most.
        top: the parts of the data set's pictures that drive it most, three by three.
        back: their deconvolutions.
        missing: sentences on how to make what is None.
    """

    synthesised: Image | None = None
    top: Image | None = None
    back: Image | None = None
    missing: Sequence[str] = ()

    @property
    def known(self) -> bool:
        """Whether there is anything to show."""
        return any(one is not None for one in (self.synthesised, self.top, self.back))


@dataclass(frozen=True)
class View:
    """All that the picture is made from.

    Attributes:
        state: what is to be shown.
        layers: of the network.
        labels: of its classes.
        seen: what it said to the frame.
        maps: of the layer shown, or derivatives to them: (units, rows, columns) or (units,).
        back: the target, taken back to the pixels: (height, width, 3); None where not asked for.
        heat: where the answer comes from: (rows, columns); None where not asked for.
        filters: of the first layer; None where not asked for.
        about: the unit; None where not asked for.
        network: its name.
        source: where the frame comes from.
        fps: pictures a second.
        notice: news of the source, such as `no signal`; empty where all is well.
    """

    state: State
    layers: Sequence[Layer]
    labels: Sequence[str]
    seen: Seen
    maps: Values
    back: Values | None = None
    heat: Values | None = None
    filters: Values | None = None
    about: About | None = None
    network: str = ""
    source: str = ""
    fps: float = 0.0
    notice: str = ""

    @property
    def layer(self) -> Layer:
        """The layer shown."""
        return self.layers[self.state.unit.layer]


@dataclass
class Composed:
    """The picture, and what lies where in it.

    Attributes:
        image: uint8 (height, width, 3) BGR; never changed once it is shown.
        state: that it shows.
        notice: that it shows.
        grid: the tiles of all maps, None where they are not shown, and where it lies.
        strip: where the names of which layers are.
    """

    image: Image
    state: State
    notice: str = ""
    grid: tuple[Box, Grid] | None = None
    strip: list[tuple[Box, int]] = field(default_factory=list)

    def at(self, x: float, y: float) -> Unit | None:
        """Return the unit, or the first one of the layer, at shares of 0..1 of width and height."""
        height, width = self.image.shape[:2]
        x, y = x * width, y * height
        if self.grid is not None and self.grid[0].holds(x, y):
            box, grid = self.grid
            number = grid.at(x - box.x, y - box.y)
            return None if number is None else Unit(self.state.unit.layer, number)
        return next((Unit(number) for box, number in self.strip if box.holds(x, y)), None)
