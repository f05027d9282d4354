"""The loop's output: the newest view, composed once for all viewers."""

from __future__ import annotations

from time import perf_counter

from edgecat.deepvis.desk import Desk
from edgecat.deepvis.live.compose import HEIGHT, TALL_HEIGHT, TALL_WIDTH, WIDTH, compose
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
    """Composes the live view on the loop's thread while there are viewers.

    Args:
        looker: the classifier of the frames.
        desk: receives the layout of the grid.
        stage: the frame source.
        width: of the image, in pixels.
        height: likewise.

    Attributes:
        newest: the image and its layout; None before the first one.
        tall: likewise, for a phone.
        clock: durations of inspection and composition.
    """

    name = "the live view"
    inline = True

    def __init__(
        self, looker: Looker, desk: Desk, stage: Stage, *, width: int = WIDTH, height: int = HEIGHT
    ) -> None:
        self._looker, self._desk, self._stage = looker, desk, stage
        self._size = width, height
        self.newest: Composed | None = None
        self.tall: Composed | None = None
        self._looked_at = self._tall_at = float("-inf")
        self.clock = Clock()

    def picture(self) -> Image | None:
        """Return the newest image, None if there is none yet, and request more; thread-safe."""
        before, self._looked_at = self._looked_at, perf_counter()
        return self._newest(self.newest, before)

    def tall_picture(self) -> Image | None:
        """Return the newest image for a phone, as `picture` does."""
        before, self._tall_at = self._tall_at, perf_counter()
        return self._newest(self.tall, before)

    def click(self, x: float, y: float, *, tall: bool = False) -> State:
        """Select the item at a relative position, 0..1 of the image's width and height."""
        newest = self.tall if tall else self.newest
        unit = newest.at(x, y) if newest is not None else None
        return self._desk.state if unit is None else self._desk.select(unit)

    def write(self, answer: Answer, picture: Image) -> None:
        """Compose the view of one answer, if there are viewers."""
        start = perf_counter()
        wide, tall = (start - at <= _LOOKED_SECONDS for at in (self._looked_at, self._tall_at))
        if not (wide or tall):
            return
        view = self._looker.look(
            source=answer.frame.source,
            fps=answer.fps,
            notice=state.value if (state := self._stage.state) is Status.NO_SIGNAL else "",
        )
        if tall:
            self.tall = self._laid_out(compose(view, TALL_WIDTH, TALL_HEIGHT))
        if wide:
            self.newest = self._laid_out(compose(view, *self._size))
        self.clock.add(perf_counter() - start)

    def _newest(self, composed: Composed | None, looked_at: float) -> Image | None:
        """Return the image; if nobody has looked for a while, ask for a new one."""
        if perf_counter() - looked_at > _LOOKED_SECONDS:
            self._stage.again()
        return None if composed is None else composed.image

    def _laid_out(self, composed: Composed) -> Composed:
        """Tell the desk how many columns the grid has."""
        if composed.grid is not None:
            self._desk.lay_out(composed.grid[1].columns)
        return composed
