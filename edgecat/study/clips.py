"""Short films of pictures, in which the camera moves, the focus fails and things pass in front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgecat.pets.film import Scene, framing
from edgecat_runtime.system.opencv import cv2_module
from edgecat_runtime.types import Image

_BLUR = 0.1  # at its worst: sigma as a share of the frame's side
_NOISE = 4.0  # levels
_HARD = 0.4  # of the worst blur, or of the frame covered, above which a frame is hard
_TROUBLES, _LENGTHS = (2, 4), (5, 15)  # of a film, and frames of each; the upper bounds excluded
_CUT = (0.35, 0.65)  # when one scene ends and the next begins


@dataclass(frozen=True)
class Clip:
    """A film of two scenes, one after the other.

    Attributes:
        frames: uint8 (t, side, side, 3) BGR.
        labels: int64 (t,), what each frame shows.
        hard: bool (t,), whether it is badly blurred or covered.
        cut: the first frame of the second scene.
    """

    frames: Image
    labels: NDArray[np.int64]
    hard: NDArray[np.bool_]
    cut: int


@dataclass(frozen=True)
class _Bar:
    """What passes in front: its left edge in each frame, its width and colour."""

    left: int
    width: int
    colour: tuple[int, int, int]


def draw_clip(
    pictures: Sequence[Image], labels: Sequence[int], frames: int, random: np.random.Generator
) -> Clip:
    """Film two pictures, one after the other.

    Args:
        pictures: two, each uint8 (side, side, 3) BGR.
        labels: what they show.
        frames: of the film, 16 or more.
        random: where everything else comes from.
    """
    side = pictures[0].shape[0]
    cut = int(frames * random.uniform(*_CUT))
    scenes = [
        Scene("", picture, framing(random), framing(random), random.uniform(0, 2 * math.pi))
        for picture in pictures[:2]
    ]
    blur, bars = _troubles(frames, side, random)
    shown, hard = np.empty((frames, side, side, 3), np.uint8), np.zeros(frames, np.bool_)
    for number in range(frames):
        second = number >= cut
        moment = (number - cut * second) / ((frames - cut) if second else cut)
        frame = _blurred(scenes[second].view(moment, side, side), blur[number])
        covered = _cover(frame, bars[number])
        grain = random.normal(0, _NOISE, frame.shape)
        shown[number] = np.clip(np.rint(frame + grain), 0, 255).astype(np.uint8)
        hard[number] = blur[number] > _HARD or covered > _HARD
    truth = np.where(np.arange(frames) < cut, labels[0], labels[1]).astype(np.int64)
    return Clip(shown, truth, hard, cut)


def _troubles(
    frames: int, side: int, random: np.random.Generator
) -> tuple[NDArray[np.float64], list[_Bar | None]]:
    """Draw how blurred each frame is, 0..1, and what passes in front of it."""
    blur = np.zeros(frames)
    bars: list[_Bar | None] = [None] * frames
    for _ in range(random.integers(*_TROUBLES)):
        length = min(int(random.integers(*_LENGTHS)), frames - 1)
        start = int(random.integers(frames - length))
        if random.random() < 0.5:
            swell = np.sin(np.pi * (np.arange(length) + 0.5) / length)
            blur[start : start + length] = np.maximum(
                blur[start : start + length], random.uniform(0.6, 1) * swell
            )
            continue
        width = int(side * random.uniform(0.7, 1.1))
        blue, green, red = (int(c) for c in random.integers(0, 256, 3))
        way = 1 if random.random() < 0.5 else -1
        for number in range(length):
            passed = int((number + 0.5) / length * (side + width))
            left = passed - width if way == 1 else side - passed
            bars[start + number] = _Bar(left, width, (blue, green, red))
    return blur, bars


def _blurred(frame: Image, strength: float) -> Image:
    if strength < 0.01:
        return frame
    sigma = strength * _BLUR * frame.shape[0]
    return np.asarray(cv2_module().GaussianBlur(frame, (0, 0), sigma), np.uint8)


def _cover(frame: Image, bar: _Bar | None) -> float:
    """Paint the bar over a frame; return the share of it that is covered."""
    if bar is None:
        return 0.0
    left, right = max(0, bar.left), min(frame.shape[1], bar.left + bar.width)
    if left >= right:
        return 0.0
    frame[:, left:right] = bar.colour
    return float((right - left) / frame.shape[1])
