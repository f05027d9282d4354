"""What the camera loop returns: an answer per frame, and a summary at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgecat_runtime.camera.frames import Frame
from edgecat_runtime.model.prediction import Prediction
from edgecat_runtime.model.status import Status, displayed
from edgecat_runtime.model.versions import ModelVersion
from edgecat_runtime.system.counting import number_of


@dataclass(frozen=True, slots=True)
class Answer:
    """The loop's answer for one frame.

    Attributes:
        frame: the frame itself.
        raw: the prediction for this frame alone.
        smoothed: the decision, which takes earlier frames into account: a label with its
            probability, or None with confidence 0 if it is unsure.
        changed: whether the label differs from the previous one; also true for the first label, and
            for the first label after a status event of the source.
        age: seconds from the frame's capture to this answer.
        fps: answers per second over the last second; 0 for the first answer.
        previous_label: the camera's previous label; None if it had none.
        previous_status: the camera's previous status: live, or why it had no label.
        model: the channel's model that answered; None without a channel.

    Example:
        >>> for answer in Pipeline(camera, classifier):  # doctest: +SKIP
        ...     if answer.changed:
        ...         print(answer.previous_label, "->", answer.smoothed)
    """

    frame: Frame
    raw: Prediction
    smoothed: Prediction
    changed: bool
    age: float
    fps: float
    previous_label: str | None = None
    previous_status: Status = Status.WAITING
    model: ModelVersion | None = None

    @property
    def before(self) -> str:
        """The previous label, or else the word for the previous status, as in events."""
        return displayed(self.previous_label, self.previous_status)

    def __str__(self) -> str:
        frame = self.frame
        return f"{frame.name or f'{frame.source}, frame {frame.index}'}: {self.smoothed}"


@dataclass(frozen=True)
class Summary:
    """Statistics of one run of the loop.

    Attributes:
        frames: number of classified frames.
        seconds: from the first wait for a frame until the outputs had the last answer.
        fps: frames per second over the whole run.
        dropped: frames of a live source replaced by newer ones before they were classified.
        stages_ms: median milliseconds of `capture` (reading and decoding; for a live source also
            waiting for the frame), `wait` (until the loop takes the frame), `preprocess`, `infer`
            and `output` (decision, overlay, handing the answer to the outputs).
        frame_age_ms: `p50` and `p95` of the time from capture to answer, in milliseconds.
        losses: number of times a live source was lost.
        skipped: frames that could not be read.
        not_recorded: answers dropped because an output was too slow.
        failures: one message per output that stopped on an error.

    Example:
        >>> summary = Pipeline(camera, classifier).run()  # doctest: +SKIP
        >>> summary.frames, summary.failures  # doctest: +SKIP
        (900, ())
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
        """Return exactly the fields that `edgecat camera --json` documents."""
        names = ("frames", "seconds", "fps", "dropped", "stages_ms", "frame_age_ms", "losses")
        return {name: getattr(self, name) for name in names}

    def __str__(self) -> str:
        counts = [f"{number_of(self.frames, 'frame')} in {self.seconds:.1f} s, {self.fps:.1f} fps"]
        for count, what in (
            (self.dropped, "dropped"),
            (self.losses, "source loss" if self.losses == 1 else "source losses"),
            (self.skipped, "skipped"),
            (self.not_recorded, "not recorded"),
            (len(self.failures), "failed output" if len(self.failures) == 1 else "failed outputs"),
        ):
            counts += [f"{count} {what}"] if count else []
        stages = "   ".join(f"{name} {value:.2f}" for name, value in self.stages_ms.items())
        age = "   ".join(f"{name} {value:.1f}" for name, value in self.frame_age_ms.items())
        return f"{', '.join(counts)}\nms (median): {stages}\nframe age, ms: {age}"
