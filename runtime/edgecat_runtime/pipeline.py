"""The camera loop: frame, answer, decision, outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from time import perf_counter
from typing import Any

from edgecat_runtime.camera import Camera, Frame
from edgecat_runtime.classifier import Classifier, Prediction
from edgecat_runtime.clocks import Clock, Rate
from edgecat_runtime.overlay import draw_overlay
from edgecat_runtime.sinks import Output, Sink, Stop, output_from_sink
from edgecat_runtime.smoothing import Smoother

_POLL_SECONDS = 0.2  # how soon a stop is heard while no frame comes


@dataclass(frozen=True, slots=True)
class Answer:
    """What the loop says about one frame.

    Attributes:
        frame: the frame itself.
        raw: the network's answer to this frame alone.
        smoothed: the decision, with the frames before it taken into account.
        changed: whether the decision's label is the first one or another than before.
        age: seconds from the frame's capture to this answer.
        fps: answers a second over the last second; 0 at the first.
    """

    frame: Frame
    raw: Prediction
    smoothed: Prediction
    changed: bool
    age: float
    fps: float


@dataclass(frozen=True)
class Summary:
    """What a run of the loop did.

    Attributes:
        frames: answered.
        seconds: from the first wait for a frame to the last answer's hand-over.
        fps: frames a second over the whole run.
        dropped: frames of a live source that newer ones replaced before they were answered.
        stages_ms: medians in milliseconds of `capture` (reading and decoding; of a live source also
            the wait for it), `preprocess`, `infer` and `output` (decision, overlay, hand-over).
        frame_age_ms: `p50` and `p95` of the time from capture to answer, in milliseconds.
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
    skipped: int = 0
    not_recorded: int = 0
    failures: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the figures that `edgecat camera --json` promises, and no others."""
        names = ("frames", "seconds", "fps", "dropped", "stages_ms", "frame_age_ms")
        return {name: getattr(self, name) for name in names}

    def __str__(self) -> str:
        counts = [f"{self.frames} frames in {self.seconds:.1f} s, {self.fps:.1f} fps"]
        for count, what in (
            (self.dropped, "dropped"),
            (self.skipped, "skipped"),
            (self.not_recorded, "not recorded"),
            (len(self.failures), "outputs failed"),
        ):
            counts += [f"{count} {what}"] if count else []
        stages = "   ".join(f"{name} {value:.2f}" for name, value in self.stages_ms.items())
        age = "   ".join(f"{name} {value:.1f}" for name, value in self.frame_age_ms.items())
        return f"{', '.join(counts)}\nms (median): {stages}\nframe age, ms: {age}"


class Pipeline:
    """Camera, classifier and outputs in one loop.

    Args:
        camera: left open at the end, as is the classifier.
        classifier: answers each frame.
        outputs: closed at the end. Each runs in a thread of its own, unless it is inline.
        smooth: whether to smooth over frames; None: unless the frames are unrelated pictures.
        max_frames: after how many to end; None: with the source.
        stop: set it, or call `stop`, from any thread or signal handler to end the loop.

    Example:
        >>> with Camera.open(0) as camera, Classifier.open(path) as classifier:  # doctest: +SKIP
        ...     for answer in Pipeline(camera, classifier):
        ...         print(answer.frame.index, answer.smoothed)
    """

    def __init__(
        self,
        camera: Camera,
        classifier: Classifier,
        outputs: Sequence[Sink] = (),
        *,
        smooth: bool | None = None,
        max_frames: int | None = None,
        stop: Event | None = None,
    ) -> None:
        smooths = not camera.source.stills if smooth is None else smooth
        self._camera = camera
        self._classifier = classifier
        self._sinks = tuple(outputs)
        self._outputs: list[Output] = []
        self._smoother = Smoother() if smooths else None
        self._max_frames = max_frames
        self._stop = stop or Event()
        self._clocks = {name: Clock() for name in ("preprocess", "infer", "output", "age")}
        self._rate = Rate()
        self._label: str | None = None
        self._frames = 0
        self._seconds = 0.0

    def run(self) -> Summary:
        """Run to the end and return the summary; raises as iterating does."""
        for _ in self:
            pass
        return self.summary

    def stop(self) -> None:
        """End the loop after the frame that it is at."""
        self._stop.set()

    def __iter__(self) -> Iterator[Answer]:
        """Yield the answer to every frame that is served, after the outputs were given it.

        Raises:
            DeviceError: the camera has vanished or the engine has failed; outputs are closed first.
            UserError: the source holds nothing that can be read.
        """
        self._outputs = [
            output_from_sink(sink, not self._camera.source.live) for sink in self._sinks
        ]
        start = perf_counter()
        try:
            for sink in self._sinks:
                sink.begin(self)
            while (frame := self._next_frame()) is not None:
                answer = self._answer(frame)
                self._hand_over(answer)
                self._frames += 1
                self._seconds = perf_counter() - start
                yield answer
            self._linger()
        finally:
            for output in self._outputs:
                output.close()

    @property
    def camera(self) -> Camera:
        """Where its frames come from."""
        return self._camera

    @property
    def classifier(self) -> Classifier:
        """What answers them."""
        return self._classifier

    @property
    def clocks(self) -> dict[str, Clock]:
        """Durations of each stage by name, and `age`: from capture to answer."""
        return {"capture": self._camera.clock, **self._clocks}

    @property
    def summary(self) -> Summary:
        """What was done so far."""
        clocks = self.clocks
        age = clocks.pop("age")
        return Summary(
            frames=self._frames,
            seconds=round(self._seconds, 3),
            fps=round(self._frames / self._seconds, 3) if self._seconds else 0.0,
            dropped=self._camera.dropped,
            stages_ms={name: clock.percentile_ms(50) for name, clock in clocks.items()},
            frame_age_ms={"p50": age.percentile_ms(50), "p95": age.percentile_ms(95)},
            skipped=self._camera.source.skipped,
            not_recorded=sum(output.dropped for output in self._outputs),
            failures=tuple(output.failure for output in self._outputs if output.failure),
        )

    def _next_frame(self) -> Frame | None:
        while not self._stop.is_set() and self._frames != self._max_frames:
            with suppress(TimeoutError):
                return self._camera.read(timeout=_POLL_SECONDS)
        return None

    def _answer(self, frame: Frame) -> Answer:
        started = perf_counter()
        pixels = self._classifier.preprocess(frame.image)
        ready = perf_counter()
        logits = self._classifier.infer(pixels[None])[0]
        answered = perf_counter()
        self._clocks["preprocess"].add(ready - started)
        self._clocks["infer"].add(answered - ready)
        self._clocks["age"].add(answered - frame.captured)
        raw = self._classifier.predict(logits)
        smoothed = self._classifier.predict(self._smoother(logits)) if self._smoother else raw
        changed, self._label = smoothed.label != self._label, smoothed.label
        rate = self._rate.tick(answered)
        return Answer(frame, raw, smoothed, changed, answered - frame.captured, rate)

    def _hand_over(self, answer: Answer) -> None:
        """Give the answer to every output that wants it; draw the overlay once, if at all."""
        start = perf_counter()
        image = picture = answer.frame.image
        wanted = [output for output in self._outputs if output.wants(changed=answer.changed)]
        if any(output.sink.wants_picture for output in wanted):
            picture = image.copy()
            draw_overlay(picture, answer.smoothed.label, answer.smoothed.confidence, answer.fps)
        try:
            for output in wanted:
                output.write(answer, picture if output.sink.wants_picture else image)
        except Stop:
            self.stop()
        self._clocks["output"].add(perf_counter() - start)

    def _linger(self) -> None:
        """Leave a picture in its window until the user has seen it; a film just ends."""
        if self._camera.source.stills and self._frames != self._max_frames:
            for output in self._outputs:
                output.sink.linger(self._stop)
