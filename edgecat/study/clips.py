"""Short clips made from images, with camera motion, blur and occlusion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgecat.pets.film import Scene, framing
from edgecat_runtime.system.opencv import cv2_module
from edgecat_runtime.types import Image

_BLUR = 0.1  # maximum sigma, as a fraction of the frame's side
_NOISE = 4.0  # grey levels
_HARD = 0.4  # fraction of the maximum blur, or of the frame covered, above which a frame is hard
_TROUBLES, _LENGTHS = (2, 4), (5, 15)  # per clip, and frames of each; upper bounds exclusive
_CUT = (0.35, 0.65)  # relative time of the cut between the scenes


@dataclass(frozen=True)
class Clip:
    """A clip of two scenes.

    Attributes:
        frames: uint8 (t, side, side, 3) BGR.
        labels: int64 (t,), the label of each frame.
        hard: bool (t,), whether it is badly blurred or covered.
        cut: the first frame of the second scene.
    """

    frames: Image
    labels: NDArray[np.int64]
    hard: NDArray[np.bool_]
    cut: int


@dataclass(frozen=True)
class _Bar:
    """An occluder: its left edge in each frame, its width and colour."""

    left: int
    width: int
    colour: tuple[int, int, int]


def draw_clip(
    pictures: Sequence[Image], labels: Sequence[int], frames: int, random: np.random.Generator
) -> Clip:
    """Film two images, one after the other.

    Args:
        pictures: two, each uint8 (side, side, 3) BGR.
        labels: their labels.
        frames: number of frames, 16 or more.
        random: source of all other choices.
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
    """Draw the blur of each frame, 0..1, and the occluders."""
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
    """Paint the occluder over a frame; return the fraction that it covers."""
    if bar is None:
        return 0.0
    left, right = max(0, bar.left), min(frame.shape[1], bar.left + bar.width)
    if left >= right:
        return 0.0
    frame[:, left:right] = bar.colour
    return float((right - left) / frame.shape[1])
