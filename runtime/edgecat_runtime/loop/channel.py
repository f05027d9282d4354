"""The loop's per-camera state."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.camera.frames import Frame, StatusEvent
from edgecat_runtime.classifier import Classifier
from edgecat_runtime.loop.answers import Answer
from edgecat_runtime.loop.decision import Decision, Thresholds
from edgecat_runtime.loop.smoothing import Smoother
from edgecat_runtime.model.status import Status, displayed
from edgecat_runtime.system.clocks import Rate


class Channel:
    """The state that the loop keeps per camera: its label and its status.

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
        self.status = Status.STOPPED
        self.captured: float | None = None
        self.rate = Rate()

    @property
    def displayed(self) -> str:
        """The current label, or else the word for the status."""
        return displayed(self.label, self.status)

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
        previous = self.label, self.status
        self.captured = frame.captured
        self.label, self.status = decided.label, decided.status
        changed = previous != (self.label, self.status)
        age, fps = now - frame.captured, self.rate.tick(now)
        return Answer(frame, raw, decided, changed, age, fps, *previous, classifier.version)

    def on_status(self, event: StatusEvent) -> StatusEvent:
        """Handle a status event; return it with the previous label. The scene may have changed."""
        age = 0.0 if self.captured is None else perf_counter() - self.captured
        event = replace(event, previous_label=self.label, previous_status=self.status, age=age)
        if event.state == "reloaded":
            self.smoother.reset()  # other logits now; the label is held until they contradict it
        elif event.state not in ("reopened", "refused", "frozen", "moving"):
            self.forget()
            self.status = event.status
        return event

    def forget(self) -> None:
        """Reset the smoothing, so that the next answer stands alone."""
        self.smoother.reset()
        self.decision.reset()
        self.label = None
