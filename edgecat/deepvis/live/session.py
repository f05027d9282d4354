"""Assembles a live session and its loop."""

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
    """The parts of a live session: the state, the frame source, the classifier and the view."""

    desk: Desk
    stage: Stage
    looker: Looker
    show: Show

    def pipeline(
        self, sinks: Sequence[Sink] = (), *, stop: Event, max_frames: int | None = None
    ) -> Pipeline:
        """Make the loop; it ends when `stop` is set, which the `quit` action does too."""
        self.desk.listen(lambda state: stop.set() if state.quit else None)
        return Pipeline(
            self.stage,
            self.looker,
            [self.show, *sinks],
            smooth=False,  # per-frame predictions, to match the maps
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
    """Open everything that a live session needs, and close it at the end.

    Args:
        probe: the network.
        results: stored results about its units.
        source: as for `open_source`; empty: still images only.
        pictures: files of still images.
        options: options of the source.
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
    """Run the loop in a background thread; the window needs the main thread.

    Raises:
        EdgecatError: the error that ended the loop.
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
