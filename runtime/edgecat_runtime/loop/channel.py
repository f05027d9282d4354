"""The loop's per-camera state."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.camera.frames import STOPPED, Frame, Signal
from edgecat_runtime.classifier import Classifier
from edgecat_runtime.loop.answers import Answer
from edgecat_runtime.loop.decision import Decision, Thresholds
from edgecat_runtime.loop.smoothing import Smoother
from edgecat_runtime.system.clocks import Rate


class Channel:
    """The state that the loop keeps per camera: its label, or else its status.

    Args:
        camera: the camera.
        smooth: whether to smooth over frames; None: unless they are unrelated images.
        thresholds: confidence thresholds of a smoothed decision.
    """

    def __init__(self, camera: Camera, smooth: bool | None, thresholds: Thresholds | None) -> None:
        self.smooths = not camera.source.stills if smooth is None else smooth
        self.camera = camera
        self.smoother = Smoother()
        self.decision = Decision(thresholds)
        self.label: str | None = None
        self.status = STOPPED
        self.captured: float | None = None
        self.rate = Rate()

    @property
    def said(self) -> str:
        """The current label, or else the status."""
        return self.status if self.label is None else self.label

    def answer(
        self, frame: Frame, logits: NDArray[np.float32], classifier: Classifier, now: float
    ) -> Answer:
        """Decide on one frame.

        Args:
            frame: a frame of this camera.
            logits: the network's output, (classes,).
            classifier: the classifier that computed them.
            now: when they were computed, in seconds of `time.perf_counter`.
        """
        raw = decided = classifier.predict(logits)
        if self.smooths:
            smoothed = classifier.predict(self.smoother(logits))
            decided = self.decision(smoothed, classifier.card)
        before, changed = self.said, decided.label != self.label
        self.captured, self.label = frame.captured, decided.label
        age, fps = now - frame.captured, self.rate.tick(now)
        return Answer(frame, raw, decided, changed, age, fps, before)

    def hear(self, signal: Signal) -> Signal:
        """Handle a status event; return it with the previous label. The scene may have changed."""
        age = 0.0 if self.captured is None else perf_counter() - self.captured
        signal = replace(signal, before=self.said, age=age)
        if signal.state == "reloaded":
            self.smoother.reset()  # other logits now; the label is held until they contradict it
        elif signal.state not in ("reopened", "refused", "frozen", "moving"):
            self.forget()
            self.status = signal.after
        return signal

    def forget(self) -> None:
        """Reset the smoothing, so that the next answer stands alone."""
        self.smoother.reset()
        self.decision.reset()
        self.label = None
