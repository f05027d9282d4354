"""Virtual live cameras: `synthetic://pets`, and `synthetic://things` that are no animals."""

from __future__ import annotations

import time
from collections.abc import Callable
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
_SCENES = {"pets": 8, "things": 32}  # that are drawn once and then repeat
_SIDE = 320  # pixels, of the largest drawing
_SWAY = 16  # pixels to either side


class DrawnCamera(Source):
    """A live source of drawings, one after the other, swaying slightly.

    Args:
        name: used in messages.
        fps: frames per second of wall-clock time: a slow reader misses frames.
        width: of the frames.
        height: likewise.
        draw: draws scene 0, 1, ..., given the number and the side in pixels, at most 320.
        scenes: their number.
        seconds: display time of each.
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
        draw: Callable[[int, int], NDArray[np.uint8]],
        scenes: int,
        seconds: float,
        frames: int,
    ) -> None:
        self.name = name
        self.fps = fps
        self._size = (height, width)
        self._seconds, self._frames = seconds, frames
        self._draw, self._scenes = draw, scenes
        self._drawn: dict[int, NDArray[np.uint8]] = {}
        self._newest = (-1, np.empty(0, np.uint8))
        self._scene(0)
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
        scene = self._scene(int(seconds / self._seconds) % self._scenes)
        left = round(_SWAY * (1 + np.sin(2 * np.pi * seconds / self._seconds)))
        return Shot(np.ascontiguousarray(scene[:, left : left + self._size[1]]))

    def _scene(self, number: int) -> NDArray[np.uint8]:
        """Return a scene, wider than a frame; it is drawn on first use, and kept as drawn."""
        if number != self._newest[0]:
            from edgecat_runtime.system.opencv import cv2_module

            height, width = self._size
            side = max(height, width) + 2 * _SWAY
            if number not in self._drawn:
                self._drawn[number] = self._draw(number, min(side, _SIDE))
            top = (side - height) // 2
            scaled = cv2_module().resize(self._drawn[number], (side, side))
            self._newest = number, scaled[top : top + height]
        return self._newest[1]


def _drawing(name: str, seed: int) -> Callable[[int, int], NDArray[np.uint8]]:
    """What draws the scenes of a camera: animals in turn, or half of them mugs, then bottles."""

    def pets(number: int, side: int) -> NDArray[np.uint8]:
        from edgecat.pets.synthetic import draw_pet

        return draw_pet(seed * 1_000_000 + number, number % 2, side)[0]

    def things(number: int, side: int) -> NDArray[np.uint8]:
        from edgecat.pets.things import THINGS, draw_thing

        thing = THINGS[2 * number // _SCENES["things"]]
        return draw_thing(thing, seed * 1_000_000 + number, scene=seed)

    return pets if name == "pets" else things


def open_drawn_camera(text: str, options: SourceOptions) -> DrawnCamera:
    """Open `synthetic://pets?fps=60&width=640&height=480&seed=0&seconds=2&frames=0`.

    Width, height and fps in the options take precedence. `things` instead of `pets`: a mug in 16
    positions, then a bottle in 16.

    Raises:
        UserError: another name, or an unknown or invalid value.
    """
    parts = urlsplit(text)
    values = dict(_DEFAULTS)
    if parts.netloc not in _SCENES or parts.path.strip("/"):
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
        draw=_drawing(parts.netloc, int(values["seed"])),
        scenes=_SCENES[parts.netloc],
        frames=int(values["frames"]),
    )


register_source("synthetic", open_drawn_camera, example="synthetic://pets")
