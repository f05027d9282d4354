"""The network as a classifier that is looked into while it answers, and what the look gives."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgecat.deepvis.desk import Desk
from edgecat.deepvis.layers import Layer
from edgecat.deepvis.live.view import About, View
from edgecat.deepvis.probe import Probe, Seen
from edgecat.deepvis.results import Results
from edgecat.deepvis.state import State, Unit
from edgecat_runtime.classifier import Classifier
from edgecat_runtime.model.preprocess import preprocess
from edgecat_runtime.types import Image, Values


class _Backend:
    """The probe behind the protocol of every backend; it keeps what it saw."""

    name = "pytorch"

    def __init__(self, probe: Probe, desk: Desk) -> None:
        self._probe, self._desk = probe, desk
        self.state = desk.state
        self.seen: Seen | None = None

    def infer(self, frames: Image) -> NDArray[np.float32]:
        """Return logits (1, classes) of one frame, fitted already."""
        self.state = self._desk.state
        layer = self._probe.layers[self.state.unit.layer]
        self.seen = self._probe.run(frames[0], [layer.name])
        return self.seen.logits[None]

    def close(self) -> None:
        """Nothing has to be let go."""


class Looker(Classifier):
    """A checkpoint that answers frames and can be looked into.

    Args:
        probe: the network.
        desk: whose state says what is looked at.
        results: what was computed of its units beforehand.
    """

    def __init__(self, probe: Probe, desk: Desk, results: Results) -> None:
        self._looked = _Backend(probe, desk)
        super().__init__(self._looked, probe.card, device=str(probe.device))
        self._probe, self._desk, self._results = probe, desk, results
        self._filters: Values | None = None

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The network's layers, in the order in which they run."""
        return self._probe.layers

    @property
    def seen(self) -> Seen | None:
        """What the network said to the newest frame; None before the first one."""
        return self._looked.seen

    def preprocess(self, frame: Image) -> Image:
        """Fit one frame to the network as the state says."""
        card, stretch = self.card, self._desk.state.fit == "stretch"
        return preprocess(frame, card.height, card.width, "stretch" if stretch else card.fit)

    def look(self, *, source: str = "", fps: float = 0.0, notice: str = "") -> View:
        """Work out what the state asks for of the frame that was answered last, and no more."""
        seen, state = self._looked.seen, self._looked.state
        assert seen is not None
        probe = self._probe
        if state.filters and self._filters is None:
            self._filters = probe.filters()
        return View(
            state=state,
            layers=probe.layers,
            labels=self.labels,
            seen=seen,
            maps=self._maps(seen, state),
            back=self._back(seen, state),
            heat=probe.gradcam(seen.frame, int(seen.logits.argmax())) if state.heat else None,
            filters=self._filters if state.filters else None,
            about=self._about(state.unit) if state.about else None,
            network=self.card.architecture,
            source=source,
            fps=fps,
            notice=notice,
        )

    def _maps(self, seen: Seen, state: State) -> Values:
        layer = self._probe.layers[state.unit.layer]
        if not state.derivatives:
            return seen.maps[layer.name]
        last = len(self._probe.layers) - 1
        target = state.held or Unit(last, int(seen.logits.argmax()))
        if target.layer < state.unit.layer:
            return np.zeros(layer.shape, np.float32)
        how = "gradient" if state.back == "off" else state.back
        name = self._probe.layers[target.layer].name
        return self._probe.derivatives(seen.frame, name, target.channel, layer.name, how=how)

    def _back(self, seen: Seen, state: State) -> Values | None:
        if state.back == "off":
            return None
        layer, unit = self._probe.layers[state.target.layer], state.target.channel
        return self._probe.backprop(seen.frame, layer.name, unit, how=state.back)

    def _about(self, unit: Unit) -> About:
        layer, results = self._probe.layers[unit.layer], self._results
        synthesised = results.picture("synthesised", layer, unit.channel)
        top = results.picture("top", layer, unit.channel)
        back = results.picture("deconv", layer, unit.channel)
        missing = []
        if top is None or back is None:
            missing.append(
                "The pictures that drive this unit most are not known yet: "
                f"edgecat deepvis top PHOTOS --layers {layer.active} finds them."
            )
        if synthesised is None:
            missing.append(
                "Nobody has made a picture for this unit yet: "
                f"edgecat deepvis synthesise --layers {layer.active} does."
            )
        return About(synthesised, top, back, missing)
