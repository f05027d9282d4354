"""The live look, put together, and its loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from edgecat.deepvis.desk import Desk
from edgecat.deepvis.live.look import Looker
from edgecat.deepvis.live.show import Show
from edgecat.deepvis.live.stage import Stage, open_stage
from edgecat.deepvis.live.window import Window
from edgecat.deepvis.probe import Probe
from edgecat.deepvis.results import Results
from edgecat.deepvis.state import Scene, State, Unit
from edgecat_runtime.camera.source import NO_OPTIONS, SourceOptions
from edgecat_runtime.outputs.sink import Sink
from edgecat_runtime.pipeline import Pipeline


@dataclass(frozen=True)
class Live:
    """The parts of a live look: the state, where frames come from, what answers, the picture."""

    desk: Desk
    stage: Stage
    looker: Looker
    show: Show

    def pipeline(
        self, sinks: Sequence[Sink] = (), *, stop: Event, max_frames: int | None = None
    ) -> Pipeline:
        """Make the loop; it ends when `stop` is set, which the user's `quit` does as well."""
        self.desk.listen(lambda state: stop.set() if state.quit else None)
        return Pipeline(
            self.stage,
            self.looker,
            [self.show, *sinks],
            smooth=False,  # each frame's own answer, as its maps are
            max_frames=max_frames,
            stop=stop,
        )


@contextmanager
def open_live(
    probe: Probe,
    results: Results,
    source: str,
    pictures: Sequence[Path] = (),
    *,
    options: SourceOptions = NO_OPTIONS,
    give_up: float | None = None,
    wait: bool = False,
) -> Iterator[Live]:
    """Open what a live look needs, and close it at the end.

    Args:
        probe: the network.
        results: what is known of its units.
        source: as `open_source` takes it; empty: still pictures alone.
        pictures: still ones.
        options: how to open the source.
        give_up: as for `Camera`.
        wait: likewise.

    Raises:
        UserError, DeviceError: as `open_source`.
    """
    layers = probe.layers
    first = next((n for n, layer in enumerate(layers) if layer.kind == "activation"), 0)
    scene = Scene(tuple(layer.units for layer in layers), len(pictures), bool(source))
    desk = Desk(scene, State(unit=Unit(first), still=not source))
    looker = Looker(probe, desk, results)
    with open_stage(source, desk, pictures, options=options, give_up=give_up, wait=wait) as stage:
        assert isinstance(stage, Stage)
        yield Live(desk, stage, looker, Show(looker, desk, stage))


def run_with_window(pipeline: Pipeline, window: Window, stop: Event) -> None:
    """Run the loop in a thread beside the window, which has to have the main one.

    Raises:
        EdgecatError: what ended the loop.
    """
    errors: list[Exception] = []

    def work() -> None:
        try:
            pipeline.run()
        except Exception as error:
            errors.append(error)
        finally:
            stop.set()

    thread = Thread(target=work, name="edgecat deepvis")
    thread.start()
    try:
        window.run(stop)
    finally:
        stop.set()
        thread.join()
    if errors:
        raise errors[0]
