"""`synthetic://pets`: a virtual live camera that shows drawn cats and dogs."""

from __future__ import annotations

import time
from urllib.parse import parse_qsl, urlsplit

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.camera.opening import register_source
from edgecat_runtime.camera.source import Shot, Source, SourceOptions
from edgecat_runtime.errors import UserError

_DEFAULTS = {
    "fps": 30.0,
    "width": 640.0,
    "height": 480.0,
    "seed": 0.0,
    "seconds": 2.0,
    "frames": 0.0,
}
_KEPT = 8  # animals that are drawn once and then repeat
_SWAY = 16  # pixels to either side


class DrawnCamera(Source):
    """A live source of drawn animals, one after the other, swaying slightly.

    Args:
        name: used in messages.
        fps: frames per second of wall-clock time: a slow reader misses frames.
        width: of the frames.
        height: likewise.
        seed: as for `synthetic_pets`.
        seconds: display time of each animal.
        frames: number of frames before the source ends; 0: unlimited.
    """

    live = True

    def __init__(
        self,
        name: str,
        *,
        fps: float,
        width: int,
        height: int,
        seed: int,
        seconds: float,
        frames: int,
    ) -> None:
        self.name = name
        self.fps = fps
        self._size = (height, width)
        self._seed, self._seconds, self._frames = seed, seconds, frames
        self._animals: dict[int, NDArray[np.uint8]] = {}
        self._animal(0)
        self._start = 0.0
        self._next = 0

    def read(self) -> Shot | None:
        """Wait until the next frame is due and draw it; None after the last."""
        now = time.perf_counter()
        self._start = self._start or now
        self._next = max(self._next, int((now - self._start) * self.fps))  # as a camera would
        if self._frames and self._next >= self._frames:
            return None
        seconds = self._next / self.fps
        time.sleep(max(0.0, self._start + seconds - time.perf_counter()))
        self._next += 1
        scene = self._animal(int(seconds / self._seconds) % _KEPT)
        left = round(_SWAY * (1 + np.sin(2 * np.pi * seconds / self._seconds)))
        return Shot(np.ascontiguousarray(scene[:, left : left + self._size[1]]))

    def _animal(self, number: int) -> NDArray[np.uint8]:
        """Return an animal's scene, wider than a frame; it is drawn on first use."""
        if number not in self._animals:
            from edgecat.pets.synthetic import draw_pet
            from edgecat_runtime.system.opencv import cv2_module

            height, width = self._size
            side = max(height, width) + 2 * _SWAY
            picture, _ = draw_pet(self._seed * 1_000_000 + number, number % 2, min(side, 320))
            picture = cv2_module().resize(picture, (side, side))
            top = (side - height) // 2
            self._animals[number] = picture[top : top + height]
        return self._animals[number]


def open_drawn_camera(text: str, options: SourceOptions) -> DrawnCamera:
    """Open `synthetic://pets?fps=60&width=640&height=480&seed=0&seconds=2&frames=0`.

    Width, height and fps in the options take precedence.

    Raises:
        UserError: a name other than `pets`, or an unknown or invalid value.
    """
    parts = urlsplit(text)
    values = dict(_DEFAULTS)
    if (parts.netloc, parts.path.strip("/")) != ("pets", ""):
        raise UserError(
            f"source {text!r}; expected synthetic://pets, as in synthetic://pets?fps=60"
        )
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        if key not in values or not value.replace(".", "", 1).isdecimal():
            raise UserError(f"{text} has {key}={value}; expected a number for {', '.join(values)}")
        values[key] = float(value)
    for key in ("fps", "width", "height"):
        values[key] = getattr(options, key) or values[key]
    if not (0 < values["fps"] <= 1000 and values["seconds"] > 0):
        raise UserError(f"{text}: expected fps above 0 and at most 1000, and seconds above 0")
    if not all(16 <= values[key] <= 4096 for key in ("width", "height")):
        raise UserError(f"{text}: expected width and height from 16 to 4096")
    return DrawnCamera(
        text,
        fps=values["fps"],
        seconds=values["seconds"],
        width=int(values["width"]),
        height=int(values["height"]),
        seed=int(values["seed"]),
        frames=int(values["frames"]),
    )


register_source("synthetic", open_drawn_camera, example="synthetic://pets")
