"""A source and a network whose every frame and answer a test can foresee."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest

from edgecat_runtime.camera.frames import Frame
from edgecat_runtime.camera.source import Shot, Source
from edgecat_runtime.classifier import Classifier
from edgecat_runtime.errors import DeviceError
from edgecat_runtime.loop.answers import Answer
from edgecat_runtime.model.card import ModelCard
from edgecat_runtime.model.prediction import Prediction


class Scripted(Source):
    """Frames from a list, paced by the clock where `fps` says so; may vanish at the end."""

    name = "the scripted camera"

    def __init__(
        self,
        frames: Iterable[np.ndarray],
        *,
        live: bool = False,
        fps: float = 0.0,
        vanishes: bool = False,
    ) -> None:
        self.live, self.fps = live, fps
        self.closed = self.given = 0
        self._frames = iter(frames)
        self._vanishes = vanishes
        self._start = 0.0

    def read(self) -> Shot | None:
        self._start = self._start or time.perf_counter()
        if self.live:
            time.sleep(max(0.0, self._start + self.given / self.fps - time.perf_counter()))
        frame = next(self._frames, None)
        if frame is None and self._vanishes:
            raise DeviceError(f"{self.name} stopped delivering frames")
        self.given += 1
        return None if frame is None else Shot(frame)

    def close(self) -> None:
        self.closed += 1


class Brightness:
    """A network that tells dark frames from bright ones."""

    name = "brightness"

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def infer(self, frames: np.ndarray) -> np.ndarray:
        time.sleep(self.seconds)
        mean = frames.mean((1, 2, 3), dtype=np.float32) / 25.5 - 5
        return np.stack([-mean, mean], axis=1)

    def close(self) -> None:
        pass


@pytest.fixture
def scripted() -> type[Scripted]:
    """The class `Scripted`; fixtures are all that a test can take from here."""
    return Scripted


@pytest.fixture
def brightness(tiny_card: ModelCard) -> Callable[..., Classifier]:
    """`brightness(seconds=0)`: a classifier of `dark` and `bright` that takes so long a frame."""
    card = replace(tiny_card, labels=("dark", "bright"))
    return lambda seconds=0.0: Classifier(Brightness(seconds), card)


def make_answer(
    index: int = 0,
    *,
    image: np.ndarray | None = None,
    seconds: float = 0.0,
    label: str = "dog",
    name: str = "",
) -> Answer:
    """An answer without a loop: captured at `seconds` of both clocks."""
    image = np.zeros((48, 64, 3), np.uint8) if image is None else image
    other = {"cat": "dog", "dog": "cat"}[label]
    raw = Prediction(label, 0.75, {other: 0.25, label: 0.75}, (0.0, 1.0))
    frame = Frame(image, index, seconds, seconds, name)
    return Answer(frame, raw, raw, changed=True, age=0.01, fps=30.0)


@pytest.fixture
def answer() -> Callable[..., Answer]:
    """`answer(index, image=, seconds=, label=, name=)`."""
    return make_answer
