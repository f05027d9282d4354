"""Cameras that deliver one image again and again."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgecat_runtime.camera.camera import Camera
from edgecat_runtime.camera.freezing import Freeze
from edgecat_runtime.camera.source import SourceOptions
from edgecat_runtime.pipeline import Pipeline

Make = Callable[..., Any]
BASE = np.zeros((48, 64, 3), np.uint8)


def off_grid(level: int = 1) -> np.ndarray:
    """Differs from `BASE` in one channel of one pixel, between those that are compared first."""
    image = BASE.copy()
    image[5, 5, 1] = level
    return image


@pytest.mark.parametrize(
    ("images", "states"),
    [
        ([BASE] * 5, {3: "frozen"}),
        ([BASE, off_grid(), BASE, off_grid(), BASE, off_grid()], {}),
        ([off_grid(n) for n in range(1, 9)], {}),
        ([BASE] * 5 + [off_grid()] * 5, {3: "frozen", 5: "moving", 8: "frozen"}),
        ([BASE] * 5 + [BASE[:24]] * 2, {3: "frozen", 5: "moving"}),
        ([BASE] * 3 + [BASE + 1] + [BASE] * 3, {}),
    ],
)
def test_an_image_that_repeats_for_three_seconds(
    images: list[np.ndarray], states: dict[int, str]
) -> None:
    freeze, seen = Freeze(3), {}
    for second, image in enumerate(images):
        if change := freeze.see(image, 100.0 + second):
            seen[second] = change.state
            assert change.seconds >= 3
    assert seen == states


def test_it_can_be_switched_off() -> None:
    freeze = Freeze(0)
    assert not any(freeze.see(BASE, float(second)) for second in range(1000))


def signals_of(camera: Camera, until: Callable[[], bool]) -> list[str]:
    deadline = time.perf_counter() + 20
    while not until() and time.perf_counter() < deadline:
        camera.read(20)
    return [signal.state for signal in camera.signals]


def test_a_camera_that_freezes_is_reported_once_and_again_when_it_moves(scripted: Make) -> None:
    moving = False

    def images() -> Iterator[np.ndarray]:
        for number in itertools.count():
            yield BASE + np.uint8(number if moving else 0)

    source = scripted(images(), live=True, fps=100)
    source.may_freeze = True
    with Camera(source, options=SourceOptions(frozen=0.2)) as camera:
        assert signals_of(camera, lambda: camera.frozen) == ["frozen"]
        assert camera.state == "live", "it is not opened again"
        moving = True
        assert signals_of(camera, lambda: not camera.frozen) == ["frozen", "moving"]
        assert "the image had not changed for " in camera.signals[-1].reason


def test_what_may_stand_still_is_not_reported(scripted: Make, tmp_path: Path) -> None:
    path = str(tmp_path / "still.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 50, (64, 48))
    for _ in range(25):
        writer.write(BASE)
    writer.release()
    options = SourceOptions(frozen=0.05, realtime=True)
    for camera in (
        Camera.open(path, options=options),
        Camera(scripted([BASE] * 25, live=True, fps=50), options=options),
    ):
        with camera:
            assert sum(1 for _ in camera) > 1
            assert not camera.signals
            assert not camera.frozen


def test_the_label_is_held_while_a_camera_is_frozen(scripted: Make, brightness: Make) -> None:
    source = scripted([BASE] * 30, live=True, fps=50)
    source.may_freeze = True
    heard: list[Any] = []
    from edgecat_runtime.outputs.callback import CallbackSink

    camera = Camera(source, options=SourceOptions(frozen=0.2))
    sink = CallbackSink(lambda answer: None, on_signal=heard.append)
    Pipeline(camera, brightness(), [sink], smooth=False).run()
    camera.close()
    frozen = next(signal for signal in heard if signal.state == "frozen")
    assert (frozen.before, frozen.after) == ("dark", "dark")
