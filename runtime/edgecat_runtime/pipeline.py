"""The camera loop: capture, classify, decide, output."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import replace
from threading import Condition, Event
from time import perf_counter

import numpy as np

from edgecat_runtime.camera.camera import Camera, read_newest
from edgecat_runtime.camera.frames import EventKind, Frame, StatusEvent
from edgecat_runtime.classifier import Classifier
from edgecat_runtime.loop.answers import Answer, Summary
from edgecat_runtime.loop.channel import Channel
from edgecat_runtime.loop.decision import Thresholds
from edgecat_runtime.loop.engine import Engine
from edgecat_runtime.loop.leaving import closed_at_exit
from edgecat_runtime.loop.reload import Replacements
from edgecat_runtime.loop.updates import UpdateStatus
from edgecat_runtime.model.versions import Refusal
from edgecat_runtime.outputs.callback import Callback, sink_from_output
from edgecat_runtime.outputs.overlay import draw_overlay
from edgecat_runtime.outputs.sink import Output, Sink, Stop, output_from_sink
from edgecat_runtime.system.clocks import Clock

__all__ = ["Answer", "Pipeline", "Summary"]

log = logging.getLogger("edgecat_runtime")

_POLL_SECONDS = 0.2  # how soon a stop is noticed while no frame arrives


class Pipeline:
    """Cameras, classifier and outputs in one loop.

    Several cameras share the classifier: the newest frames of those that have one are classified as
    one batch.

    Args:
        camera: one camera, or several that have not been read yet; left open at the end.
        classifier: classifies each frame; left open at the end.
        outputs: sinks, or functions called with each answer; closed at the end. Each runs on its
            own thread, unless it is inline.
        smooth: whether to smooth over frames; None: unless the frames are unrelated images. If not,
            each frame is decided on its own.
        thresholds: confidence thresholds of a smoothed decision.
        max_frames: stop after this many frames; None: when the source ends.
        stop: event that ends the loop; set it, or call `stop`, from any thread or signal handler.
        reopen: opens the classifier again when it fails, at most once a minute.
        reload: whether to watch the classifier's file, and to open it again when its contents
            change (with `reopen`, if given). The new engine takes over between two frames if it
            passes its self-test and has the same labels, and the old one is closed; otherwise the
            old one keeps serving. Either way, a status event is sent. `Replacements` instead of
            True provide other classifiers in the same way.

    Example:
        >>> with Camera.open(0) as camera, Classifier.open(path) as classifier:  # doctest: +SKIP
        ...     for answer in Pipeline(camera, classifier):
        ...         print(answer.frame.index, answer.smoothed)
    """

    def __init__(
        self,
        camera: Camera | Sequence[Camera],
        classifier: Classifier,
        outputs: Sequence[Sink | Callback] = (),
        *,
        smooth: bool | None = None,
        max_frames: int | None = None,
        stop: Event | None = None,
        reopen: Callable[[], Classifier] | None = None,
        thresholds: Thresholds | None = None,
        reload: bool | Replacements = False,
    ) -> None:
        self.cameras, self._changed = _together(camera)
        self._channels = [Channel(camera, smooth, thresholds) for camera in self.cameras]
        self._engine = Engine(classifier, reopen, reload=reload, tell=self._tell_all)
        self._sinks = tuple(map(sink_from_output, outputs))
        self._outputs: list[Output] = []
        self._max_frames = max_frames
        self._stop = stop or Event()
        names = ("wait", "preprocess", "infer", "output", "age")
        self._clocks = {name: Clock() for name in names}
        self._frames = 0
        self._seconds = 0.0
        for one in self.cameras:
            one.fit = self._engine.fit

    def run(self) -> Summary:
        """Run to the end and return the summary; raises as iterating does."""
        for _ in self:
            pass
        return self.summary

    def stop(self) -> None:
        """Stop the loop after the current frame."""
        self._stop.set()

    def stream(self) -> AsyncGenerator[Answer, None]:
        """Run on a background thread and yield the answers in asyncio; raises as iterating does.

        The event loop is never blocked. A live camera yields the newest answer: an answer not
        consumed in time is skipped, and its label change, if any, is reported with the next one. A
        file waits, so that each of its answers is yielded. If the iteration ends early, cancelled
        or abandoned, the loop ends too; `contextlib.aclosing` waits until it has.

        Example:
            >>> async for answer in pipeline.stream():  # doctest: +SKIP
            ...     await publish(answer)
        """
        from edgecat_runtime.loop.stream import stream_answers  # asyncio takes 40 ms to import

        return stream_answers(self)

    @closed_at_exit
    def __iter__(self) -> Iterator[Answer]:
        """Yield the answer for every classified frame, after handing it to the outputs.

        Raises:
            DeviceError: the camera was lost or the engine failed; outputs are closed first.
            UserError: the source contains nothing that can be decoded.
        """
        self._outputs = [output_from_sink(sink, not self._drops(sink)) for sink in self._sinks]
        start, reason = perf_counter(), "the iteration was abandoned"
        try:
            for sink in self._sinks:
                sink.begin(self)
            self._tell_all("started")
            self._engine.start()
            while frames := self._next_frames():
                for answer in self._answers(frames):
                    self._hand_over(answer)
                    self._frames += 1
                    self._seconds = perf_counter() - start
                    yield answer
            self._linger()
            reason = self._why_ended()
        except Exception as error:
            reason = str(error) or type(error).__name__
            raise
        finally:
            self._engine.stop()
            self._tell_all("stopped", reason)
            for output in self._outputs:
                output.close()
            self._engine.close()

    @property
    def camera(self) -> Camera:
        """The camera; the first one, if there are several."""
        return self.cameras[0]

    @property
    def classifier(self) -> Classifier:
        """The classifier in use."""
        return self._engine.classifier

    @property
    def updates(self) -> UpdateStatus | None:
        """How the channel of models is being followed; None without one."""
        return self._engine.updates

    @property
    def clocks(self) -> dict[str, Clock]:
        """Durations of each stage by name, and `age`: from capture to answer.

        `capture` is that of the camera with the most frames.
        """
        busiest = max((camera.clock for camera in self.cameras), key=lambda clock: clock.count)
        return {"capture": busiest, **self._clocks}

    @property
    def summary(self) -> Summary:
        """The statistics so far."""
        clocks = self.clocks
        age = clocks.pop("age")
        return Summary(
            frames=self._frames,
            seconds=round(self._seconds, 3),
            fps=round(self._frames / self._seconds, 3) if self._seconds else 0.0,
            dropped=sum(camera.dropped for camera in self.cameras),
            stages_ms={name: clock.percentile_ms(50) for name, clock in clocks.items()},
            frame_age_ms={"p50": age.percentile_ms(50), "p95": age.percentile_ms(95)},
            losses=sum(camera.losses for camera in self.cameras),
            skipped=sum(camera.skipped for camera in self.cameras),
            not_recorded=sum(output.dropped for output in self._outputs),
            failures=tuple(output.failure for output in self._outputs if output.failure),
        )

    def _drops(self, sink: Sink) -> bool:
        """Whether a slow sink drops answers, as it must if it would block a live source."""
        return any(
            camera.source.live
            for camera in self.cameras
            if sink.only_camera in (None, camera.number)
        )

    def _next_frames(self) -> list[Frame]:
        left = None if self._max_frames is None else self._max_frames - self._frames
        while left != 0 and not self._stop.is_set():
            frames = self._frames_soon()
            self._tell_signals()
            self._engine.take_over()
            if frames is not None:
                return frames[:left]
        return []

    def _frames_soon(self) -> list[Frame] | None:
        try:
            return read_newest(self.cameras, self._changed, _POLL_SECONDS)
        except TimeoutError:
            return None

    def _tell_signals(self) -> None:
        for channel in self._channels:
            while channel.camera.signals:
                self._tell(channel, channel.camera.signals.popleft())

    def _tell_all(self, state: EventKind, reason: str = "", refusal: Refusal | None = None) -> None:
        """Send a status event of the whole loop for every camera."""
        now, model = time.time(), self.classifier.version
        for channel in self._channels:
            event = StatusEvent(
                state, channel.camera.source.name, channel.camera.number, now, reason
            )
            self._tell(channel, replace(event, model=model, refusal=refusal))

    def _tell(self, channel: Channel, signal: StatusEvent) -> None:
        signal = channel.on_status(signal)
        for output in self._outputs:
            output.signal(signal)

    def _why_ended(self) -> str:
        if self._stop.is_set():
            return "stop requested"
        if self._frames == self._max_frames:
            frames = "1 frame was" if self._frames == 1 else f"{self._frames} frames were"
            return f"{frames} classified"
        return "the source ended"

    def _answers(self, frames: Sequence[Frame]) -> Iterator[Answer]:
        """Classify the newest frames of some cameras as one batch."""
        started = perf_counter()
        fitted = [self._engine.fitted(frame) for frame in frames]
        batch = (
            fitted[0].pixels[None] if len(fitted) == 1 else np.stack([one.pixels for one in fitted])
        )
        ready = perf_counter()
        logits = self._engine.infer(batch)
        answered = perf_counter()
        self._clocks["preprocess"].add(sum(one.seconds for one in fitted))
        self._clocks["infer"].add(answered - ready)
        for frame, row in zip(frames, logits, strict=True):
            self._clocks["wait"].add(started - frame.captured)
            self._clocks["age"].add(answered - frame.captured)
            yield self._channels[frame.camera].answer(frame, row, self.classifier, answered)

    def _hand_over(self, answer: Answer) -> None:
        """Hand the answer to every output that wants it; draw the overlay at most once."""
        start = perf_counter()
        image = picture = answer.frame.image
        wanted = [
            output
            for output in self._outputs
            if output.wants(changed=answer.changed, camera=answer.frame.camera)
        ]
        if any(output.sink.wants_overlay for output in wanted):
            picture = image.copy()
            decided = answer.smoothed
            draw_overlay(picture, decided.displayed, decided.confidence, answer.fps)
        try:
            for output in wanted:
                output.write(answer, picture if output.sink.wants_overlay else image)
        except Stop:
            self.stop()
        self._clocks["output"].add(perf_counter() - start)

    def _linger(self) -> None:
        """Keep a still image in its window until the user has seen it; a video just ends."""
        stills = any(camera.source.stills for camera in self.cameras)
        if stills and self._frames != self._max_frames:
            for output in self._outputs:
                output.sink.linger(self._stop)


def _together(camera: Camera | Sequence[Camera]) -> tuple[tuple[Camera, ...], Condition]:
    """Return the cameras, sharing one condition, and the condition."""
    if isinstance(camera, Camera):
        return (camera,), camera.changed
    changed = Condition()
    for number, one in enumerate(camera):
        one.share(changed, number)
    return tuple(camera), changed
