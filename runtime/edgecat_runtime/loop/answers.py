"""What the camera loop says: an answer to each frame, and a summary at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgecat_runtime.camera.frames import WAITING, Frame
from edgecat_runtime.model.prediction import Prediction


@dataclass(frozen=True, slots=True)
class Answer:
    """What the loop says about one frame.

    Attributes:
        frame: the frame itself.
        raw: the network's answer to this frame alone.
        smoothed: the decision, with the frames before it taken into account: a label with its
            probability, or `unsure` with confidence 0.
        changed: whether the decision's label is the first one (also the first one after news of
            the source) or another than before.
        age: seconds from the frame's capture to this answer.
        fps: answers a second over the last second; 0 at the first.
        before: what the loop said of this camera before: a label, `unsure`, or `waiting`.
    """

    frame: Frame
    raw: Prediction
    smoothed: Prediction
    changed: bool
    age: float
    fps: float
    before: str = WAITING

    def __str__(self) -> str:
        frame = self.frame
        return f"{frame.name or f'{frame.source}, frame {frame.index}'}: {self.smoothed}"


@dataclass(frozen=True)
class Summary:
    """What a run of the loop did.

    Attributes:
        frames: answered.
        seconds: from the first wait for a frame to the last answer's hand-over.
        fps: frames a second over the whole run.
        dropped: frames of a live source that newer ones replaced before they were answered.
        stages_ms: medians in milliseconds of `capture` (reading and decoding; of a live source also
            the wait for it), `wait` (a frame's, until the loop takes it), `preprocess`, `infer` and
            `output` (decision, overlay, hand-over).
        frame_age_ms: `p50` and `p95` of the time from capture to answer, in milliseconds.
        losses: how often a live source was lost.
        skipped: frames that could not be read.
        not_recorded: answers that an output was too slow for.
        failures: a sentence for each output that stopped on an error.
    """

    frames: int
    seconds: float
    fps: float
    dropped: int
    stages_ms: dict[str, float]
    frame_age_ms: dict[str, float]
    losses: int = 0
    skipped: int = 0
    not_recorded: int = 0
    failures: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the figures that `edgecat camera --json` promises, and no others."""
        names = ("frames", "seconds", "fps", "dropped", "stages_ms", "frame_age_ms", "losses")
        return {name: getattr(self, name) for name in names}

    def __str__(self) -> str:
        counts = [f"{self.frames} frames in {self.seconds:.1f} s, {self.fps:.1f} fps"]
        for count, what in (
            (self.dropped, "dropped"),
            (self.losses, "losses of the source"),
            (self.skipped, "skipped"),
            (self.not_recorded, "not recorded"),
            (len(self.failures), "outputs failed"),
        ):
            counts += [f"{count} {what}"] if count else []
        stages = "   ".join(f"{name} {value:.2f}" for name, value in self.stages_ms.items())
        age = "   ".join(f"{name} {value:.1f}" for name, value in self.frame_age_ms.items())
        return f"{', '.join(counts)}\nms (median): {stages}\nframe age, ms: {age}"
