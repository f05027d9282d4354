"""The loop's output: the newest picture, composed once for all who look at it."""

from __future__ import annotations

from time import perf_counter

from edgecat.deepvis.desk import Desk
from edgecat.deepvis.live.compose import HEIGHT, WIDTH, compose
from edgecat.deepvis.live.look import Looker
from edgecat.deepvis.live.stage import Stage
from edgecat.deepvis.live.view import Composed
from edgecat.deepvis.state import State
from edgecat_runtime.loop.answers import Answer
from edgecat_runtime.model.status import Status
from edgecat_runtime.outputs.sink import Sink
from edgecat_runtime.system.clocks import Clock
from edgecat_runtime.types import Image

_LOOKED_SECONDS = 2.0


class Show(Sink):
    """Composes the live picture in the loop's thread, while somebody looks at it.

    Args:
        looker: that answered the frame.
        desk: is told how the grid is laid out.
        stage: where frames come from.
        width: of the picture, in pixels.
        height: likewise.

    Attributes:
        newest: the picture, and what lies where in it; None before the first one.
        clock: durations of one look and composition.
    """

    name = "the live picture"
    inline = True

    def __init__(
        self, looker: Looker, desk: Desk, stage: Stage, *, width: int = WIDTH, height: int = HEIGHT
    ) -> None:
        self._looker, self._desk, self._stage = looker, desk, stage
        self._size = width, height
        self.newest: Composed | None = None
        self._looked_at = float("-inf")
        self.clock = Clock()

    def picture(self) -> Image | None:
        """Return the newest picture, and keep them coming; for any thread. None: none yet."""
        was_idle = perf_counter() - self._looked_at > _LOOKED_SECONDS
        self._looked_at = perf_counter()
        if was_idle:
            self._stage.again()
        newest = self.newest
        return None if newest is None else newest.image

    def click(self, x: float, y: float) -> State:
        """Select what lies at shares of 0..1 of the picture's width and height."""
        newest = self.newest
        unit = newest.at(x, y) if newest is not None else None
        return self._desk.state if unit is None else self._desk.select(unit)

    def write(self, answer: Answer, picture: Image) -> None:
        """Compose the picture of one answer, if somebody looks."""
        start = perf_counter()
        if start - self._looked_at > _LOOKED_SECONDS:
            return
        view = self._looker.look(
            source=answer.frame.source,
            fps=answer.fps,
            notice=state.value if (state := self._stage.state) is Status.NO_SIGNAL else "",
        )
        composed = compose(view, *self._size)
        if composed.grid is not None:
            self._desk.lay_out(composed.grid[1].columns)
        self.newest = composed
        self.clock.add(perf_counter() - start)
