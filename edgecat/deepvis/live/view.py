"""The inputs of the live view, and its layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from edgecat.deepvis.layers import Layer
from edgecat.deepvis.live.canvas import Box
from edgecat.deepvis.probe import Seen
from edgecat.deepvis.rendering import Grid
from edgecat.deepvis.state import State, Unit
from edgecat_runtime.types import Image, Values


@dataclass(frozen=True)
class About:
    """Stored results about a unit.

    Attributes:
        synthesised: the image synthesised to excite it.
        top: the parts of the data set's images that excite it most, in a 3 x 3 grid.
        back: their deconvolutions.
        missing: messages on how to compute what is None.
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
    """The inputs of the live view.

    Attributes:
        state: the state to show.
        layers: the network's layers.
        labels: class labels.
        seen: the network's outputs for the frame.
        maps: of the layer shown, or derivatives by them: (units, rows, columns) or (units,).
        back: the target, back-propagated to the pixels: (height, width, 3); None if not requested.
        heat: Grad-CAM of the prediction: (rows, columns); None if not requested.
        filters: of the first layer; None if not requested.
        about: the unit's results; None if not requested.
        network: name of the network.
        source: name of the frame source.
        fps: frames per second.
        notice: status of the source, such as `no signal`; empty if it is fine.
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
    """A composed image and its layout.

    Attributes:
        image: uint8 (height, width, 3) BGR; immutable once shown.
        state: the state shown.
        notice: the notice shown.
        grid: the tiles of all maps and their box; None if they are not shown.
        strip: the boxes of the layer names.
    """

    image: Image
    state: State
    notice: str = ""
    grid: tuple[Box, Grid] | None = None
    strip: list[tuple[Box, int]] = field(default_factory=list)

    def at(self, x: float, y: float) -> Unit | None:
        """Return the unit, or the layer's first one, at a relative position 0..1."""
        height, width = self.image.shape[:2]
        x, y = x * width, y * height
        if self.grid is not None and self.grid[0].holds(x, y):
            box, grid = self.grid
            number = grid.at(x - box.x, y - box.y)
            return None if number is None else Unit(self.state.unit.layer, number)
        return next((Unit(number) for box, number in self.strip if box.holds(x, y)), None)

    def places(self) -> dict[str, Any]:
        """Return what is where, for tooltips, JSON-ready: boxes are relative, 0..1.

        `layer` is the number of the layer shown; `grid` the box of its maps with their number, rows
        and columns; `strip` the boxes of layer names with the layers' numbers.
        """
        grid: list[float] = []
        if self.grid is not None:
            box, tiles = self.grid
            grid = [*self._relative(box), tiles.count, tiles.rows, tiles.columns]
        strip = [[*self._relative(box), number] for box, number in self.strip]
        return {"layer": self.state.unit.layer, "grid": grid, "strip": strip}

    def _relative(self, box: Box) -> list[float]:
        height, width = self.image.shape[:2]
        values = (box.x / width, box.y / height, box.width / width, box.height / height)
        return [round(value, 4) for value in values]
