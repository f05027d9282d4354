"""The server's view of the loop: written by the loop's thread, read by the server's."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import asdict
from time import perf_counter, time
from typing import TYPE_CHECKING, Any

from edgecat_runtime._version import __version__
from edgecat_runtime.model.status import Status

if TYPE_CHECKING:
    from edgecat_runtime.camera.camera import Camera
    from edgecat_runtime.loop.answers import Answer
    from edgecat_runtime.loop.running import Loop
    from edgecat_runtime.model.prediction import Prediction

HISTORY_SECONDS = 300.0
SAMPLE_SECONDS = 0.5
LEAST_SILENCE = 3.0
_CLASSES = 5


class CameraView:
    """The newest answer for one camera, and counts of all answers.

    Attributes:
        newest: newest answer; None before the first one.
        labels: number of answers per label, and of those that are `unsure`.
        changes: number of label changes, including the first label.
        history: Unix time, label and confidence, sampled over the last minutes.
    """

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        self.newest: Answer | None = None
        self.labels: Counter[str] = Counter()
        self.changes = 0
        self.history: deque[tuple[float, str, float]] = deque(
            maxlen=int(HISTORY_SECONDS / SAMPLE_SECONDS)
        )
        self.ended = False
        self._put_at = perf_counter()

    def put(self, answer: Answer) -> None:
        """Record an answer: on the loop's thread, and its only cost to the loop."""
        self.newest = answer
        self._put_at = perf_counter()
        self.labels[answer.smoothed.displayed] += 1
        self.changes += answer.changed

    def sample(self) -> None:
        """Add the newest answer to the history, if frames are arriving."""
        if (answer := self.newest) is not None and self.state is Status.LIVE:
            smoothed = answer.smoothed
            self.history.append(
                (round(time(), 2), smoothed.displayed, round(smoothed.confidence, 4))
            )

    @property
    def silence(self) -> float:
        """Seconds since the newest answer; since the start if there is none."""
        return perf_counter() - self._put_at

    @property
    def state(self) -> Status:
        """Waiting for the first frame, live, no signal or stopped."""
        if self.ended:
            return Status.STOPPED
        if self.camera.state is Status.NO_SIGNAL:
            return Status.NO_SIGNAL
        answer = self.newest
        if answer is None:
            return Status.WAITING
        expected = 4 / answer.fps if answer.fps else 0.0
        return Status.LIVE if self.silence < max(LEAST_SILENCE, expected) else Status.NO_SIGNAL

    def to_dict(self) -> dict[str, Any]:
        """State, newest answer and counts, JSON-ready."""
        answer, state = self.newest, self.state
        view: dict[str, Any] = {
            "camera": self.camera.number,
            "source": self.camera.source.name,
            "state": state.value,
            "silence_s": round(self.silence, 2),
            "frames": sum(self.labels.copy().values()),
            "dropped": self.camera.dropped,
            "skipped": self.camera.skipped,
            "losses": self.camera.losses,
            "frozen": self.camera.frozen,
            "changes": self.changes,
        }
        if answer is not None:
            height, width = answer.frame.image.shape[:2]
            view |= {
                "frame": answer.frame.index,
                "time": round(answer.frame.time, 3),
                "picture": answer.frame.name,
                "size": f"{width}x{height}",
                "label": answer.smoothed.displayed,
                "confidence": round(answer.smoothed.confidence, 4),
                "probabilities": _most_probable(answer.smoothed),
                "fps": round(answer.fps, 1) if state is Status.LIVE else 0.0,
            }
        return view


class LoopStatus:
    """The server's view of a loop and of each of its cameras.

    Attributes:
        loop: that it shows.
        views: in the order of the cameras' numbers.
    """

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.views = [CameraView(camera) for camera in loop.cameras]
        self._start = perf_counter()

    def put(self, answer: Answer) -> None:
        """Record an answer, on the loop's thread."""
        self.views[answer.frame.camera].put(answer)

    def sample(self) -> None:
        """Add to the history of every camera."""
        for view in self.views:
            view.sample()

    def end(self) -> None:
        """Mark every camera as stopped."""
        for view in self.views:
            view.ended = True

    @property
    def state(self) -> Status:
        """Live only if every camera is; else the state of the first that is not."""
        states = [view.state for view in self.views]
        return next((state for state in states if state is not Status.LIVE), Status.LIVE)

    @property
    def silence(self) -> float:
        """The longest silence of any camera, in seconds."""
        return max(view.silence for view in self.views)

    @property
    def frozen(self) -> bool:
        """Whether any camera delivers one image again and again."""
        return any(view.camera.frozen for view in self.views)

    def cameras(self) -> list[dict[str, Any]]:
        """The values that change with every frame, per camera."""
        return [view.to_dict() for view in self.views]

    def engine(self) -> dict[str, str]:
        """Model and backend in use."""
        classifier = self.loop.classifier
        card = classifier.card
        return {
            "architecture": card.architecture,
            "precision": card.precision,
            "backend": classifier.backend,
            "device": classifier.device,
            "input": f"{card.width}x{card.height}",
        }

    def figures(self) -> dict[str, Any]:
        """Counts and timings of the run so far; takes a few milliseconds."""
        return asdict(self.loop.summary)

    def status(self) -> dict[str, Any]:
        """The complete status, as returned by `/api/status`."""
        return {
            "version": __version__,
            "state": self.state.value,
            "uptime_s": round(perf_counter() - self._start, 1),
            "engine": self.engine(),
            **({"updates": updates.to_dict()} if (updates := self.loop.updates) else {}),
            **self.figures(),
            "cameras": [{**view.to_dict(), "answers": view.labels.copy()} for view in self.views],
        }


def _most_probable(prediction: Prediction) -> list[tuple[str, float]]:
    ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
    return [(label, round(share, 4)) for label, share in ranked[:_CLASSES]]
