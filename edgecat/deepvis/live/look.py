"""A classifier whose layers can be inspected while it classifies frames."""

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
    """The probe behind the backend protocol; it keeps its last outputs."""

    name = "pytorch"

    def __init__(self, probe: Probe, desk: Desk) -> None:
        self._probe, self._desk = probe, desk
        self.state = desk.state
        self.seen: Seen | None = None

    def infer(self, frames: Image) -> NDArray[np.float32]:
        """Return logits (1, classes) of one preprocessed frame."""
        self.state = self._desk.state
        layer = self._probe.layers[self.state.unit.layer]
        self.seen = self._probe.run(frames[0], [layer.name])
        return self.seen.logits[None]

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


class Looker(Classifier):
    """A checkpoint that classifies frames and can be inspected.

    Args:
        probe: the network.
        desk: holds the state that selects what is shown.
        results: stored results about its units.
    """

    def __init__(self, probe: Probe, desk: Desk, results: Results) -> None:
        self._looked = _Backend(probe, desk)
        super().__init__(self._looked, probe.card, device=str(probe.device))
        self._probe, self._desk, self._results = probe, desk, results
        self._filters: Values | None = None

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The network's layers in execution order."""
        return self._probe.layers

    @property
    def seen(self) -> Seen | None:
        """The network's outputs for the newest frame; None before the first one."""
        return self._looked.seen

    def preprocess(self, frame: Image) -> Image:
        """Fit one frame to the network's input, according to the state."""
        card, stretch = self.card, self._desk.state.fit == "stretch"
        return preprocess(frame, card.height, card.width, "stretch" if stretch else card.fit)

    def look(self, *, source: str = "", fps: float = 0.0, notice: str = "") -> View:
        """Compute what the state requires for the last classified frame, and nothing else."""
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
                "The images that excite this unit most are not known yet; run "
                f"edgecat deepvis top PHOTOS --layers {layer.active}"
            )
        if synthesised is None:
            missing.append(
                "No image has been synthesised for this unit yet; run "
                f"edgecat deepvis synthesise --layers {layer.active}"
            )
        return About(synthesised, top, back, missing)
